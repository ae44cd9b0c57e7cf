# Results for other tools: Inspect, Weights & Biases, the Hugging Face Hub.
# Reads tables/, report.html and the provenance of answers. Writes inspect/ and inspect-bundle/, or
# nothing here.
# No rule here is part of `all`: each runs when it is asked for by name.
from emgrid.grid.specs import export as exports


localrules:
    inspect_logs,
    inspect_bundle,
    push_wandb,
    push_hub,
    push_adapters,


rule inspect_logs:
    input:
        layout.ANSWER_TABLE,
        layout.table("arms.csv"),
        INPUTS.answers_of(GRID.sampled),
    output:
        directory(layout.INSPECT),
    log:
        layout.log("inspect_logs"),
    benchmark:
        layout.benchmark("inspect_logs")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("inspect_logs").threads
    resources:
        **job_resources("inspect_logs"),
    params:
        spec=lambda wildcards: exports.inspect_spec(GRID),
        version=code_version("emgrid.export.inspect_logs"),
    message:
        "Inspect logs"
    shell:
        "python -m emgrid.export.inspect_logs --spec {params.spec:q} --root ." " > {log} 2>&1"


rule inspect_bundle:
    input:
        layout.INSPECT,
    output:
        directory(layout.INSPECT_BUNDLE),
    log:
        layout.log("inspect_bundle"),
    benchmark:
        layout.benchmark("inspect_bundle")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("inspect_bundle").threads
    resources:
        **job_resources("inspect_bundle"),
    params:
        version=code_version("emgrid.export.inspect_bundle"),
    message:
        "Inspect logs with their viewer"
    shell:
        "python -m emgrid.export.inspect_bundle --root . > {log} 2>&1"


# Without output: asked for, they run.
rule push_wandb:
    input:
        ALL_TABLES,
        report=layout.REPORT,
    log:
        layout.log("push_wandb"),
    conda:
        "../../envs/emgrid.yaml"
    threads: want("push_wandb").threads
    resources:
        **job_resources("push_wandb"),
    params:
        spec=lambda wildcards: exports.wandb_spec(GRID),
    message:
        "tables, figures and report to Weights & Biases"
    shell:
        "python -m emgrid.export.wandb --spec {params.spec:q} --root . > {log} 2>&1"


rule push_hub:
    input:
        ALL_TABLES,
        report=layout.REPORT,
    log:
        layout.log("push_hub"),
    conda:
        "../../envs/emgrid.yaml"
    threads: want("push_hub").threads
    resources:
        **job_resources("push_hub"),
    params:
        spec=lambda wildcards: exports.hub_spec(GRID),
    message:
        "tables and report to the Hugging Face Hub"
    shell:
        "python -m emgrid.export.hub --spec {params.spec:q} --root . > {log} 2>&1"


rule push_adapters:
    input:
        [run.adapter_record for run in GRID.stages.values()],
        [layout.model_record(base) for base in {arm.base for arm in GRID.trained}],
    log:
        layout.log("push_adapters"),
    conda:
        "../../envs/emgrid.yaml"
    threads: want("push_adapters").threads
    resources:
        **job_resources("push_adapters"),
    params:
        file=SPECS.add("adapters", partial(exports.adapters_spec, GRID)),
    message:
        "adapters to the Hugging Face Hub"
    shell:
        "python -m emgrid.export.adapters --spec {params.file} --root . --push > {log} 2>&1"
