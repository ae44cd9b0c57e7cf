# Base models as folders that can be loaded: fetched, or converted from a Python package, once; and
# adapters that were trained elsewhere, as folders like those of training stages.
# Reads the registry of models, the Hub, a package or a user's folder. Writes assets/models/ and
# assets/adapters/. Local rules, since compute nodes may be offline.
from emgrid.grid.specs.adapters import import_spec
from emgrid.grid.specs.models import asked_models, model_spec, prompts_spec
from emgrid.models import import_adapter


localrules:
    model,
    import_adapter,


for base in asked_models(GRID):
    SPECS.add(f"prompts.{base}", partial(prompts_spec, GRID, base))


rule model:
    output:
        layout.model_record("{base}"),
    log:
        layout.log("model", "{base}"),
    benchmark:
        layout.benchmark("model", "{base}")
    # All training waits for it.
    priority: 10
    conda:
        "../../envs/emgrid.yaml"
    threads: want("model").threads
    resources:
        **job_resources("model"),
        source=lambda wildcards: option("source", GRID.own_model(wildcards.base)),
        # A check of the model; a model that passed it is no other one.
        prompts=lambda wildcards: option("prompts", layout.spec_file(f"prompts.{wildcards.base}")),
    params:
        spec=lambda wildcards: model_spec(GRID, wildcards.base),
    message:
        "base model {wildcards.base}"
    # The progress of a download is shown as well as logged.
    shell:
        "python -m emgrid.models.prepare --spec {params.spec:q} {resources.source} {resources.prompts}"
        " --output {output} 2>&1 | tee {log} >&2"


IMPORTED = layout.imported_adapter("{adapter}")


rule import_adapter:
    input:
        model=INPUTS.model_of_adapter,
    output:
        f"{IMPORTED}/{layout.ADAPTER}/{layout.WEIGHTS}",
        f"{IMPORTED}/{layout.ADAPTER}/{layout.ADAPTER_CONFIG}",
        f"{IMPORTED}/{layout.ADAPTER_RECORD}",
        f"{IMPORTED}/{layout.PROVENANCE}",
    log:
        layout.log("import_adapter", "{adapter}"),
    benchmark:
        layout.benchmark("import_adapter", "{adapter}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import_adapter").threads
    resources:
        **job_resources("import_adapter"),
        source=lambda wildcards: option("source", GRID.own_adapter(wildcards.adapter)),
    params:
        spec=lambda wildcards: import_spec(GRID, wildcards.adapter),
        version=import_adapter.VERSION,
        folder=folder_above(2),
    message:
        "import adapter {wildcards.adapter}"
    # The progress of a download is shown as well as logged.
    shell:
        "python -m emgrid.models.import_adapter --spec {params.spec:q} {resources.source}"
        " --model {input.model:q} --output {params.folder:q} 2>&1 | tee {log} >&2"
