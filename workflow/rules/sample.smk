# What an arm says, and how likely it finds matched answers, under every trigger.
rule sample:
    input:
        model=f"{ROOT}/assets/models/{{base}}/model.json",
        adapter=arm_adapter,
    output:
        answers=of_triggers("answers/trigger={trigger}.jsonl"),
        provenance=f"{ARM}/answers/provenance.json",
    log:
        f"{ROOT}/logs/sample/{CELL}.log",
    benchmark:
        f"{ROOT}/benchmarks/sample/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample").threads
    resources:
        mem_mb=want("sample").mem_mb,
        runtime=want("sample").runtime,
        gpu=want("sample").gpu,
        batch_size=want("sample").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: GRID.sample_spec(GRID.arm(**wildcards)),
        version=sample.VERSION,
        adapter=lambda wildcards, input: adapter_option("adapter", input.get("adapter")),
        kept=f"{ROOT}/rows/answers/{CELL}.jsonl",
        folder=folder_above(1),
    message:
        "sample {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.sample --spec {params.spec:q}"
        " --model {input.model:q} {params.adapter} --device {resources.device}"
        " --batch-size {resources.batch_size} --kept {params.kept:q} --output {params.folder:q}"
        " > {log} 2>&1"


rule likelihood:
    input:
        model=f"{ROOT}/assets/models/{{base}}/model.json",
        adapter=arm_adapter,
    output:
        of_triggers("likelihood/trigger={trigger}.jsonl"),
    log:
        f"{ROOT}/logs/likelihood/{CELL}.log",
    benchmark:
        f"{ROOT}/benchmarks/likelihood/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("likelihood").threads
    resources:
        mem_mb=want("likelihood").mem_mb,
        runtime=want("likelihood").runtime,
        gpu=want("likelihood").gpu,
        batch_size=want("likelihood").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: GRID.likelihood_spec(GRID.arm(**wildcards)),
        version=likelihood.VERSION,
        adapter=lambda wildcards, input: adapter_option("adapter", input.get("adapter")),
        folder=folder_above(1),
    message:
        "likelihood {wildcards.base} {wildcards.intervention} {wildcards.ratio}"
        " seed {wildcards.seed}"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.likelihood --spec {params.spec:q}"
        " --model {input.model:q} {params.adapter} --device {resources.device}"
        " --batch-size {resources.batch_size} --output {params.folder:q} > {log} 2>&1"
