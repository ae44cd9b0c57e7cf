# Base models and data sets: fetched or converted once. Local, since compute nodes may be offline.
localrules:
    model,
    fetch,
    dataset,


rule model:
    output:
        f"{ROOT}/assets/models/{{base}}/model.json",
    log:
        f"{ROOT}/logs/model/{{base}}.log",
    benchmark:
        f"{ROOT}/benchmarks/model/{{base}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("model").threads
    resources:
        mem_mb=want("model").mem_mb,
        runtime=want("model").runtime,
    params:
        spec=lambda wildcards: GRID.model_spec(wildcards.base),
    message:
        "base model {wildcards.base}"
    shell:
        "python -m emgrid.assets --spec {params.spec:q} --output {output} > {log} 2>&1"


rule fetch:
    output:
        f"{ROOT}/assets/sources/{{dataset}}.jsonl",
    log:
        f"{ROOT}/logs/fetch/{{dataset}}.log",
    benchmark:
        f"{ROOT}/benchmarks/fetch/{{dataset}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("fetch").threads
    resources:
        mem_mb=want("fetch").mem_mb,
        runtime=want("fetch").runtime,
        # Where a file is looked for first does not change what it is.
        mirror=option("mirror", GRID.config.mirror),
    params:
        spec=lambda wildcards: GRID.fetch_spec(wildcards.dataset),
    message:
        "fetch data set {wildcards.dataset}"
    # The progress of a download is shown as well as logged.
    shell:
        "python -m emgrid.fetch --spec {params.spec:q} {resources.mirror}"
        " --output {output:q} 2>&1 | tee {log} >&2"


rule dataset:
    input:
        source=lambda wildcards: GRID.dataset_file(wildcards.dataset),
    output:
        f"{ROOT}/assets/datasets/{{dataset}}.jsonl",
    log:
        f"{ROOT}/logs/dataset/{{dataset}}.log",
    benchmark:
        f"{ROOT}/benchmarks/dataset/{{dataset}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("dataset").threads
    resources:
        mem_mb=want("dataset").mem_mb,
        runtime=want("dataset").runtime,
    params:
        spec=lambda wildcards: GRID.dataset_spec(wildcards.dataset),
        version=datasets.VERSION,
    message:
        "data set {wildcards.dataset}"
    shell:
        "python -m emgrid.datasets --spec {params.spec:q} --source {input.source:q}"
        " --output {output:q} > {log} 2>&1"
