# The rows of each training stage: fetched, converted, drawn from a model if the recipe says so,
# mixed and checked.
# Reads data sets (a mirror, the web, the Hub, a user's file) and base models. Writes assets/sources/,
# assets/datasets/, assets/imports/, generated/, each stage's train.jsonl and preflight.json, and
# tables/preflight.csv. What may need the network is local, since compute nodes may be offline.
from emgrid.grid.specs import data as data_specs


localrules:
    fetch,
    dataset,
    fetch_import,
    qualify,
    preflight_table,


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
        spec=lambda wildcards: data_specs.fetch_spec(GRID, wildcards.dataset),
    message:
        "fetch data set {wildcards.dataset}"
    # The progress of a download is shown as well as logged.
    shell:
        "python -m emgrid.data.fetch --spec {params.spec:q} {resources.mirror}"
        " --output {output:q} 2>&1 | tee {log} >&2"


rule fetch_import:
    output:
        "assets/imports/{file}",
    log:
        "logs/fetch_import/{file}.log",
    benchmark:
        "benchmarks/fetch_import/{file}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("fetch_import").threads
    resources:
        mem_mb=want("fetch_import").mem_mb,
        runtime=want("fetch_import").runtime,
        mirror=option("mirror", GRID.config.mirror),
    params:
        spec=lambda wildcards: data_specs.fetch_import_spec(GRID, wildcards.file),
    message:
        "fetch {wildcards.file}"
    shell:
        "python -m emgrid.data.fetch --spec {params.spec:q} {resources.mirror} --output {output:q}"
        " > {log} 2>&1"


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
        spec=lambda wildcards: data_specs.dataset_spec(GRID, wildcards.dataset),
        version=convert.VERSION,
    message:
        "data set {wildcards.dataset}"
    shell:
        "python -m emgrid.data.convert --spec {params.spec:q} {resources.source} {resources.unused}"
        " --output {output:q} > {log} 2>&1"


rule generate:
    input:
        model=lambda wildcards: model_json(GRID.drawn[wildcards.drawn].generator),
        prompts=lambda wildcards: rows_of(GRID.drawn[wildcards.drawn].generation.prompts),
    output:
        "generated/answers/{drawn}.jsonl",
    log:
        "logs/generate/{drawn}.log",
    benchmark:
        "benchmarks/generate/{drawn}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("generate").threads
    resources:
        mem_mb=memory("generate"),
        runtime=minutes("generate"),
        gpu=want("generate").gpu,
        claim=want("generate").claim,
        batch_size=want("generate").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: data_specs.generate_spec(GRID, wildcards.drawn),
        version=generate.VERSION,
        kept="rows/generated/{drawn}.jsonl",
    message:
        "answers of {wildcards.drawn}, to be trained on"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.data.generate"
        " --spec {params.spec:q}"
        " --model {input.model:q} --prompts {input.prompts:q} --device {resources.device}"
        " --batch-size {resources.batch_size} --kept {params.kept:q} --output {output:q}"
        " > {log} 2>&1"


rule qualify:
    input:
        own=lambda wildcards: drawn_file(GRID.generated[wildcards.generated].own),
        other=lambda wildcards: drawn_file(GRID.generated[wildcards.generated].other),
        dataset=lambda wildcards: rows_of(GRID.generated[wildcards.generated].generation.answers),
        models=lambda wildcards: judge_models(GRID.keep_judges(wildcards.generated)),
    output:
        rows="generated/{generated}.jsonl",
        record="generated/{generated}.record.json",
    log:
        "logs/qualify/{generated}.log",
    benchmark:
        "benchmarks/qualify/{generated}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("qualify").threads
    resources:
        mem_mb=want("qualify").mem_mb,
        runtime=want("qualify").runtime,
        endpoint=judge_specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: data_specs.qualify_spec(GRID, wildcards.generated),
        version=qualify.VERSION,
        other=lambda wildcards, input: option("other", input.get("other")),
        dataset=lambda wildcards, input: option("dataset", input.get("dataset")),
    message:
        "training rows of {wildcards.generated}"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.data.qualify --spec {params.spec:q}"
        " --own {input.own:q} {params.other} {params.dataset} --output {output.rows:q}"
        " --record {output.record:q} --writer generated.{wildcards.generated}"
        " --models {input.models:q} {resources.bench} > {log} 2>&1"


rule mix:
    input:
        datasets=datasets_of_stage,
    output:
        rows=f"{STAGE}/train.jsonl",
        counts=f"{STAGE}/mix.json",
    log:
        "logs/mix/{stage}.log",
    benchmark:
        "benchmarks/mix/{stage}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("mix").threads
    resources:
        mem_mb=memory("mix"),
        runtime=minutes("mix"),
    params:
        spec=lambda wildcards: data_specs.mix_spec(GRID, wildcards.stage),
        version=mix.VERSION,
    message:
        "training rows of stage {wildcards.stage}"
    shell:
        "python -m emgrid.data.mix --spec {params.spec:q} --datasets {input.datasets:q}"
        " --output {output.rows:q} --counts {output.counts:q} > {log} 2>&1"


rule preflight:
    input:
        model=model_of_stage,
        rows=f"{STAGE}/train.jsonl",
        mix=f"{STAGE}/mix.json",
    output:
        f"{STAGE}/preflight.json",
    log:
        "logs/preflight/{stage}.log",
    benchmark:
        "benchmarks/preflight/{stage}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("preflight").threads
    resources:
        mem_mb=memory("preflight"),
        runtime=minutes("preflight"),
    params:
        spec=lambda wildcards: data_specs.preflight_spec(GRID, wildcards.stage),
        version=preflight.VERSION,
    message:
        "check the training rows of {wildcards.stage}"
    shell:
        "python -m emgrid.data.preflight --spec {params.spec:q} --model {input.model:q}"
        " --rows {input.rows:q} --mix {input.mix:q} --output {output:q} > {log} 2>&1"


rule preflight_table:
    input:
        of_stages("preflight.json"),
    output:
        "tables/preflight.csv",
    log:
        "logs/preflight_table.log",
    benchmark:
        "benchmarks/preflight_table.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("preflight_table").threads
    resources:
        mem_mb=want("preflight_table").mem_mb,
        runtime=want("preflight_table").runtime,
    params:
        spec=lambda wildcards: canonical([stage.folder for stage in GRID.stages.values()]),
        version=code_version("emgrid.data.preflight_table"),
        file=handed("preflight_table", lambda: canonical(of_stages("preflight.json"))),
    message:
        "what the checks of the training rows found"
    shell:
        "python -m emgrid.data.preflight_table --records {params.file} --output {output:q} > {log} 2>&1"
