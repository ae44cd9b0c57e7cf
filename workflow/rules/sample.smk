# What arms say, and how likely they find matched answers, under every trigger. One job for each
# bucket of arms of a base model, so that an engine is started once for many of them.
SAMPLED = {bucket.name: bucket for bucket in GRID.buckets}
for bucket in GRID.buckets:
    handed(f"sample.{bucket.name}", partial(GRID.sample_spec, bucket))
    handed(f"likelihood.{bucket.name}", partial(GRID.likelihood_spec, bucket))


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
        trial=lambda wildcards: GRID.trial_use(SAMPLED[wildcards.bucket].base),
    params:
        spec=lambda wildcards: GRID.sample_spec(SAMPLED[wildcards.bucket]),
        version=sample.VERSION,
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
        spec=lambda wildcards: GRID.likelihood_spec(SAMPLED[wildcards.bucket]),
        version=likelihood.VERSION,
        file="specs/likelihood.{bucket}.json",
    message:
        "likelihood {wildcards.bucket}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.likelihood"
        " --spec {params.file} --model {input.model:q} --device {resources.device}"
        " --batch-size {resources.batch_size} --root . --record {output} > {log} 2>&1"
