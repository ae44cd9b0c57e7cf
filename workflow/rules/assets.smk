# Base models and data sets: fetched or converted once. Local, since compute nodes may be offline.
localrules:
    model,
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


rule dataset:
    input:
        lambda wildcards: GRID.dataset_file(wildcards.dataset),
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
        version=code_version("emgrid.datasets"),
    message:
        "data set {wildcards.dataset}"
    shell:
        "python -m emgrid.datasets --spec {params.spec:q} --output {output} > {log} 2>&1"
