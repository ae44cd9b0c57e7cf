# Answers of models that are served behind an OpenAI-compatible endpoint.
from emgrid.grid.specs.served import served_options, served_spec


localrules:
    sample_served,


rule sample_served:
    output:
        job_record("served", CELL),
    log:
        f"logs/sample_served/{CELL}.log",
    benchmark:
        f"benchmarks/sample_served/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample_served").threads
    resources:
        mem_mb=want("sample_served").mem_mb,
        runtime=want("sample_served").runtime,
        endpoint=1,
        options=lambda wildcards: shlex.quote(served_options(GRID, served_arm(wildcards))),
    params:
        spec=lambda wildcards: served_spec(GRID, served_arm(wildcards)),
        version=served.VERSION,
        kept="rows/served",
        folder=f"{SERVED}/answers",
    message:
        "sample {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
        " at its endpoint"
    shell:
        "python -m emgrid.sample.served --spec {params.spec:q} --options {resources.options}"
        " --kept {params.kept:q} --output {params.folder:q}"
        " --record {output:q} > {log} 2>&1"
