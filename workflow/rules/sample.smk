# What arms say, and how likely they find matched answers, under every trigger. One job for each
# bucket of arms of a base model, so that an engine is started once for many of them.
for bucket in GRID.buckets:

    rule:
        name:
            f"sample.{bucket.name}"
        input:
            model=model_json(bucket.base),
            adapters=bucket.adapters,
        output:
            job_record("sample", bucket.name),
        log:
            f"logs/sample/{bucket.name}.log",
        benchmark:
            f"benchmarks/sample/{bucket.name}.tsv"
        conda:
            "../../envs/emgrid.yaml"
        threads: want("sample").threads
        resources:
            mem_mb=want("sample").mem_mb,
            runtime=want("sample").runtime,
            gpu=want("sample").gpu,
            claim=want("sample").claim,
            batch_size=want("sample").batch_size,
            device=GRID.config.device,
            engines=canonical(GRID.config.engines.model_dump(mode="json")),
        params:
            spec=partial(spec_of, GRID.sample_spec, bucket),
            version=sample.VERSION,
            file=handed(f"sample.{bucket.name}", partial(GRID.sample_spec, bucket)),
        message:
            f"sample {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample"
            " --spec {params.file} --model {input.model:q}"
            " --device {resources.device} --batch-size {resources.batch_size}"
            " --engines {resources.engines:q} --root . --record {output} > {log} 2>&1"

    rule:
        name:
            f"likelihood.{bucket.name}"
        input:
            model=model_json(bucket.base),
            adapters=bucket.adapters,
        output:
            job_record("likelihood", bucket.name),
        log:
            f"logs/likelihood/{bucket.name}.log",
        benchmark:
            f"benchmarks/likelihood/{bucket.name}.tsv"
        conda:
            "../../envs/emgrid.yaml"
        threads: want("likelihood").threads
        resources:
            mem_mb=want("likelihood").mem_mb,
            runtime=want("likelihood").runtime,
            gpu=want("likelihood").gpu,
            claim=want("likelihood").claim,
            batch_size=want("likelihood").batch_size,
            device=GRID.config.device,
        params:
            spec=partial(spec_of, GRID.likelihood_spec, bucket),
            version=likelihood.VERSION,
            file=handed(f"likelihood.{bucket.name}", partial(GRID.likelihood_spec, bucket)),
        message:
            f"likelihood {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.likelihood"
            " --spec {params.file} --model {input.model:q} --device {resources.device}"
            " --batch-size {resources.batch_size} --root . --record {output} > {log} 2>&1"
