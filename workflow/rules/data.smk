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
        layout.source_file("{dataset}"),
    log:
        layout.log("fetch", "{dataset}"),
    benchmark:
        layout.benchmark("fetch", "{dataset}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("fetch").threads
    resources:
        **job_resources("fetch"),
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
        layout.import_file("{file}"),
    log:
        layout.log("fetch_import", "{file}"),
    benchmark:
        layout.benchmark("fetch_import", "{file}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("fetch_import").threads
    resources:
        **job_resources("fetch_import"),
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
        fetched=INPUTS.fetched_file,
    output:
        layout.dataset_file("{dataset}"),
    log:
        layout.log("dataset", "{dataset}"),
    benchmark:
        layout.benchmark("dataset", "{dataset}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("dataset").threads
    resources:
        **job_resources("dataset"),
        source=lambda wildcards, input: option(
            "source", GRID.own_file(wildcards.dataset) or input.fetched
        ),
        # Which fields are unused on purpose changes what is refused, and no row.
        unused=lambda wildcards: options(
            "unused", GRID.catalogue.datasets[wildcards.dataset].unused
        ),
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
        model=INPUTS.model_of_generator,
        adapter=INPUTS.record_of_generator,
        prompts=INPUTS.prompts_of_generator,
    output:
        layout.generated_answers("{drawn}"),
    log:
        layout.log("generate", "{drawn}"),
    benchmark:
        layout.benchmark("generate", "{drawn}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("generate").threads
    resources:
        **job_resources("generate"),
        batch_size=want("generate").batch_size,
        device=GRID.config.device,
        adapter=lambda wildcards: option("adapter", INPUTS.adapter_of_generator(wildcards)),
    params:
        spec=lambda wildcards: data_specs.generate_spec(GRID, wildcards.drawn),
        version=generate.VERSION,
        kept=layout.stored_generated("{drawn}"),
    message:
        "answers of {wildcards.drawn}, to be trained on"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.data.generate"
        " --spec {params.spec:q}"
        " --model {input.model:q} {resources.adapter} --prompts {input.prompts:q} --device {resources.device}"
        " --batch-size {resources.batch_size} --kept {params.kept:q} --output {output:q}"
        " > {log} 2>&1"


rule qualify:
    input:
        own=INPUTS.own_answers,
        other=INPUTS.other_answers,
        dataset=INPUTS.answers_of_dataset,
        models=INPUTS.models_of_filter,
    output:
        rows=layout.generated_rows("{generated}"),
        record=layout.generated_record("{generated}"),
    log:
        layout.log("qualify", "{generated}"),
    benchmark:
        layout.benchmark("qualify", "{generated}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("qualify").threads
    resources:
        **job_resources("qualify"),
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


rule select:
    input:
        model=lambda wildcards: layout.model_record(INPUTS.chooser(wildcards).base),
        adapter=lambda wildcards: INPUTS.chooser(wildcards).adapter_record,
        rows=INPUTS.candidates_of_selection,
    output:
        layout.selected_rows("{selected}"),
    log:
        layout.log("select", "{selected}"),
    benchmark:
        layout.benchmark("select", "{selected}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("select").threads
    resources:
        **job_resources("select"),
        batch_size=want("select").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: data_specs.select_spec(GRID, wildcards.selected),
        version=select.VERSION,
        adapter=lambda wildcards: INPUTS.chooser(wildcards).adapter_folder,
        kept=layout.stored_selection("{selected}"),
    message:
        "rows of {wildcards.selected}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.data.select"
        " --spec {params.spec:q} --model {input.model:q} --adapter {params.adapter:q}"
        " --rows {input.rows:q} --device {resources.device} --batch-size {resources.batch_size}"
        " --kept {params.kept:q} --output {output:q} > {log} 2>&1"


rule mix:
    input:
        datasets=INPUTS.datasets_of_stage,
    output:
        rows=f"{STAGE}/{layout.TRAINING_ROWS}",
        counts=f"{STAGE}/{layout.MIX_RECORD}",
    log:
        layout.log("mix", "{stage}"),
    benchmark:
        layout.benchmark("mix", "{stage}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("mix").threads
    resources:
        **job_resources("mix"),
    params:
        spec=lambda wildcards: data_specs.mix_spec(GRID, wildcards.stage),
        version=mix.VERSION,
    message:
        "training rows of {STAGES:{wildcards.stage}}"
    shell:
        "python -m emgrid.data.mix --spec {params.spec:q} --datasets {input.datasets:q}"
        " --output {output.rows:q} --counts {output.counts:q} > {log} 2>&1"


rule preflight:
    input:
        model=INPUTS.model_of_stage,
        rows=f"{STAGE}/{layout.TRAINING_ROWS}",
        mix=f"{STAGE}/{layout.MIX_RECORD}",
    output:
        f"{STAGE}/{layout.CHECK_RECORD}",
    log:
        layout.log("preflight", "{stage}"),
    benchmark:
        layout.benchmark("preflight", "{stage}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("preflight").threads
    resources:
        **job_resources("preflight"),
    params:
        spec=lambda wildcards: data_specs.preflight_spec(GRID, wildcards.stage),
        version=preflight.VERSION,
    message:
        "check the training rows of {STAGES:{wildcards.stage}}"
    shell:
        "python -m emgrid.data.preflight --spec {params.spec:q} --model {input.model:q}"
        " --rows {input.rows:q} --mix {input.mix:q} --output {output:q} > {log} 2>&1"


rule preflight_table:
    input:
        INPUTS.of_stages(layout.CHECK_RECORD),
    output:
        layout.table("preflight.csv"),
    log:
        layout.log("preflight_table"),
    benchmark:
        layout.benchmark("preflight_table")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("preflight_table").threads
    resources:
        **job_resources("preflight_table"),
    params:
        spec=lambda wildcards: canonical([stage.folder for stage in GRID.stages.values()]),
        version=code_version("emgrid.data.preflight_table"),
        file=SPECS.add("preflight_table", lambda: canonical(INPUTS.of_stages(layout.CHECK_RECORD))),
    message:
        "what the checks of the training rows found"
    shell:
        "python -m emgrid.data.preflight_table --records {params.file} --output {output:q} > {log} 2>&1"
