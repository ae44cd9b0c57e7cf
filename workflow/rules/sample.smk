# What arms say, and how likely they find matched answers, under every trigger. One job for each
# bucket of arms of a base model, so that an engine is started once for many of them.
for bucket in GRID.buckets:

    rule:
        name:
            f"sample.{bucket.name}"
        input:
            model=model_json(bucket.base),
            adapters=below_root(bucket.adapters),
        output:
            of_arms("answers/trigger={trigger}.jsonl", bucket.arms),
            of_arms("answers/provenance.json", bucket.arms),
        log:
            f"{ROOT}/logs/sample/{bucket.name}.log",
        benchmark:
            f"{ROOT}/benchmarks/sample/{bucket.name}.tsv"
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
            spec=lambda wildcards, bucket=bucket: GRID.sample_spec(bucket),
            version=sample.VERSION,
            root=folder_above(7),
        message:
            f"sample {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample"
            " --spec - --model {input.model:q}"
            " --device {resources.device} --batch-size {resources.batch_size}"
            " --engines {resources.engines:q} --root {params.root:q}"
            " > {log} 2>&1 <<< {params.spec:q}"

    rule:
        name:
            f"likelihood.{bucket.name}"
        input:
            model=model_json(bucket.base),
            adapters=below_root(bucket.adapters),
        output:
            of_arms("likelihood/trigger={trigger}.jsonl", bucket.arms),
        log:
            f"{ROOT}/logs/likelihood/{bucket.name}.log",
        benchmark:
            f"{ROOT}/benchmarks/likelihood/{bucket.name}.tsv"
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
            spec=lambda wildcards, bucket=bucket: GRID.likelihood_spec(bucket),
            version=likelihood.VERSION,
            root=folder_above(7),
        message:
            f"likelihood {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.likelihood"
            " --spec -"
            " --model {input.model:q} --device {resources.device}"
            " --batch-size {resources.batch_size} --root {params.root:q}"
            " > {log} 2>&1 <<< {params.spec:q}"
