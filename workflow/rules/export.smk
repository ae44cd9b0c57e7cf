# Results for other tools: Inspect, Weights & Biases, the Hugging Face Hub.
# Reads tables/, report.html and the provenance of answers. Writes inspect/, or nothing here.
# No rule here is part of `all`: each runs when it is asked for by name.
from emgrid.grid.specs import export as exports


localrules:
    inspect_logs,
    push_wandb,
    push_hub,


rule inspect_logs:
    input:
        "tables/answers.parquet",
        "tables/arms.csv",
        answers_of(GRID.sampled),
    output:
        directory("inspect"),
    log:
        "logs/inspect_logs.log",
    benchmark:
        "benchmarks/inspect_logs.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("inspect_logs").threads
    resources:
        mem_mb=want("inspect_logs").mem_mb,
        runtime=want("inspect_logs").runtime,
    params:
        spec=lambda wildcards: exports.inspect_spec(GRID),
        version=code_version("emgrid.export.inspect_logs"),
    message:
        "Inspect logs"
    shell:
        "python -m emgrid.export.inspect_logs --spec {params.spec:q} --root ." " > {log} 2>&1"


# Without output: asked for, they run.
rule push_wandb:
    input:
        expand("tables/{table}", table=TABLES),
        report="report.html",
    log:
        "logs/push_wandb.log",
    conda:
        "../../envs/emgrid.yaml"
    threads: want("push_wandb").threads
    resources:
        mem_mb=want("push_wandb").mem_mb,
        runtime=want("push_wandb").runtime,
    params:
        spec=lambda wildcards: exports.wandb_spec(GRID),
    message:
        "tables, figures and report to Weights & Biases"
    shell:
        "python -m emgrid.export.wandb --spec {params.spec:q} --root . > {log} 2>&1"


rule push_hub:
    input:
        expand("tables/{table}", table=TABLES),
        report="report.html",
    log:
        "logs/push_hub.log",
    conda:
        "../../envs/emgrid.yaml"
    threads: want("push_hub").threads
    resources:
        mem_mb=want("push_hub").mem_mb,
        runtime=want("push_hub").runtime,
    params:
        spec=lambda wildcards: exports.hub_spec(GRID),
    message:
        "tables and report to the Hugging Face Hub"
    shell:
        "python -m emgrid.export.hub --spec {params.spec:q} --root . > {log} 2>&1"
