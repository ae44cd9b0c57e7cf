# The rows of each training stage.
localrules:
    mix,


rule mix:
    input:
        datasets=datasets_of_stage,
    output:
        rows=f"{STAGE}/train.jsonl",
        counts=f"{STAGE}/mix.json",
    log:
        f"{ROOT}/logs/mix/{{stage}}.log",
    benchmark:
        f"{ROOT}/benchmarks/mix/{{stage}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("mix").threads
    resources:
        mem_mb=want("mix").mem_mb,
        runtime=want("mix").runtime,
    params:
        spec=lambda wildcards: GRID.mix_spec(wildcards.stage),
        version=code_version("emgrid.mix"),
    message:
        "training rows of stage {wildcards.stage}"
    shell:
        "python -m emgrid.mix --spec {params.spec:q} --datasets {input.datasets:q}"
        " --output {output.rows:q} --counts {output.counts:q} > {log} 2>&1"
