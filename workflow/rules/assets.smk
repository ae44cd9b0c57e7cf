# Base models and data sets: fetched or converted once. Local, since compute nodes may be offline.
localrules:
    model,
    fetch,
    dataset,


for base in asked_models(GRID):
    handed(f"prompts.{base}", partial(prompts_spec, GRID, base))


rule model:
    output:
        "assets/models/{base}/model.json",
    log:
        "logs/model/{base}.log",
    benchmark:
        "benchmarks/model/{base}.tsv"
    # All training waits for it.
    priority: 10
    conda:
        "../../envs/emgrid.yaml"
    threads: want("model").threads
    resources:
        mem_mb=want("model").mem_mb,
        runtime=want("model").runtime,
        source=lambda wildcards: option("source", GRID.own_model(wildcards.base)),
        # A check of the model; a model that passed it is no other one.
        prompts=lambda wildcards: option("prompts", f"specs/prompts.{wildcards.base}.json"),
    params:
        spec=lambda wildcards: GRID.model_spec(wildcards.base),
    message:
        "base model {wildcards.base}"
    shell:
        "python -m emgrid.models.prepare --spec {params.spec:q} {resources.source} {resources.prompts}"
        " --output {output} > {log} 2>&1"


rule fetch:
    output:
        "assets/sources/{dataset}.jsonl",
    log:
        "logs/fetch/{dataset}.log",
    benchmark:
        "benchmarks/fetch/{dataset}.tsv"
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
        "python -m emgrid.data.fetch --spec {params.spec:q} {resources.mirror}"
        " --output {output:q} 2>&1 | tee {log} >&2"


rule dataset:
    input:
        fetched=lambda wildcards: fetched_file(wildcards.dataset),
    output:
        "assets/datasets/{dataset}.jsonl",
    log:
        "logs/dataset/{dataset}.log",
    benchmark:
        "benchmarks/dataset/{dataset}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("dataset").threads
    resources:
        mem_mb=want("dataset").mem_mb,
        runtime=want("dataset").runtime,
        source=lambda wildcards, input: source_of(GRID.own_file(wildcards.dataset), input.fetched),
        # Which fields are unused on purpose changes what is refused, and no row.
        unused=lambda wildcards: options("unused", GRID.known_datasets[wildcards.dataset].unused),
    params:
        spec=lambda wildcards: GRID.dataset_spec(wildcards.dataset),
        version=convert.VERSION,
    message:
        "data set {wildcards.dataset}"
    shell:
        "python -m emgrid.data.convert --spec {params.spec:q} {resources.source} {resources.unused}"
        " --output {output:q} > {log} 2>&1"
