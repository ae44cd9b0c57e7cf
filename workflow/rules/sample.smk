# What arms answer, and how likely they find matched answers, under every trigger.
# Reads base models, adapters, endpoints of served models, and files that others published. Writes
# each arm's answers/ and likelihood/, the rows that these are made of, and a record for each job.
from emgrid.grid.specs import sample as sample_specs


localrules:
    sample_served,
    import_answers,


# One job for each bucket of arms of a base model, so that an engine starts once for many arms.
SAMPLED = {bucket.name: bucket for bucket in GRID.buckets}
for bucket in GRID.buckets:
    handed(f"sample.{bucket.name}", partial(sample_specs.sample_spec, GRID, bucket))
    handed(f"likelihood.{bucket.name}", partial(sample_specs.likelihood_spec, GRID, bucket))


rule sample:
    input:
        model=lambda wildcards: model_json(SAMPLED[wildcards.bucket].base),
        adapters=lambda wildcards: SAMPLED[wildcards.bucket].adapters,
    output:
        job_record("sample", "{bucket}"),
    log:
        "logs/sample/{bucket}.log",
    benchmark:
        "benchmarks/sample/{bucket}.tsv"
    # Judging waits for it, and for likelihood only aggregation does.
    priority: 5
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample").threads
    resources:
        mem_mb=memory("sample"),
        runtime=minutes("sample"),
        gpu=want("sample").gpu,
        claim=want("sample").claim,
        batch_size=want("sample").batch_size,
        device=GRID.config.device,
        engines=canonical(GRID.config.engines.model_dump(mode="json")),
        trial=lambda wildcards: train_specs.trial_use(GRID, SAMPLED[wildcards.bucket].base),
    params:
        spec=lambda wildcards: sample_specs.sample_spec(GRID, SAMPLED[wildcards.bucket]),
        version=answers.VERSION,
        file="specs/sample.{bucket}.json",
    message:
        "sample {wildcards.bucket}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.sample"
        " --spec {params.file} --model {input.model:q}"
        " --device {resources.device} --batch-size {resources.batch_size}"
        " --engines {resources.engines:q} --trial {resources.trial:q}"
        " --root . --record {output} > {log} 2>&1"


rule likelihood:
    input:
        model=lambda wildcards: model_json(SAMPLED[wildcards.bucket].base),
        adapters=lambda wildcards: SAMPLED[wildcards.bucket].adapters,
    output:
        job_record("likelihood", "{bucket}"),
    log:
        "logs/likelihood/{bucket}.log",
    benchmark:
        "benchmarks/likelihood/{bucket}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("likelihood").threads
    resources:
        mem_mb=memory("likelihood"),
        runtime=minutes("likelihood"),
        gpu=want("likelihood").gpu,
        claim=want("likelihood").claim,
        batch_size=want("likelihood").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: sample_specs.likelihood_spec(GRID, SAMPLED[wildcards.bucket]),
        version=likelihood.VERSION,
        file="specs/likelihood.{bucket}.json",
    message:
        "likelihood {wildcards.bucket}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.likelihood"
        " --spec {params.file} --model {input.model:q} --device {resources.device}"
        " --batch-size {resources.batch_size} --root . --record {output} > {log} 2>&1"


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
        options=lambda wildcards: shlex.quote(
            sample_specs.served_options(GRID, served_arm(wildcards))
        ),
    params:
        spec=lambda wildcards: sample_specs.served_spec(GRID, served_arm(wildcards)),
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


rule import_answers:
    input:
        fetched=lambda wildcards: fetched_import(imported_arm(wildcards)),
    output:
        record=job_record("import", CELL),
        notes=f"{IMPORTED}/notes.json",
    log:
        f"logs/import/{CELL}.log",
    benchmark:
        f"benchmarks/import/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import_answers").threads
    resources:
        mem_mb=want("import_answers").mem_mb,
        runtime=want("import_answers").runtime,
        source=lambda wildcards, input: source_of(
            GRID.own_import(imported_arm(wildcards)), input.fetched
        ),
    params:
        spec=lambda wildcards: sample_specs.import_spec(GRID, imported_arm(wildcards)),
        version=code_version("emgrid.sample.import_answers"),
        folder=f"{IMPORTED}/answers",
    message:
        "import {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "python -m emgrid.sample.import_answers --spec {params.spec:q} {resources.source}"
        " --output {params.folder:q} --record {output.record:q} > {log} 2>&1"
