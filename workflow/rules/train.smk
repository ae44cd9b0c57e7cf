# One adapter for each training stage; a stage that several arms begin with is trained once.
# Reads the base model, the stage's checked rows, and the adapter of the stage before. Writes the
# adapter, its hash, the loss and provenance.json into the stage's folder, and stores the adapter.
from emgrid.grid.specs import train as train_specs


rule train:
    input:
        model=INPUTS.model_of_stage,
        rows=f"{STAGE}/{layout.TRAINING_ROWS}",
        parent=INPUTS.parent_record,
        needed=INPUTS.needed_records,
        # A check that was made again finds its training done before (rows/adapters). An `ancient`
        # input would hide from Snakemake what has changed in the jobs after this one.
        checked=f"{STAGE}/{layout.CHECK_RECORD}",
    output:
        f"{STAGE}/{layout.ADAPTER}/{layout.WEIGHTS}",
        f"{STAGE}/{layout.ADAPTER}/{layout.ADAPTER_CONFIG}",
        f"{STAGE}/{layout.ADAPTER_RECORD}",
        f"{STAGE}/{layout.LOSS}",
        f"{STAGE}/{layout.PROVENANCE}",
    log:
        layout.log("train", "{stage}"),
    benchmark:
        layout.benchmark("train", "{stage}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("train").threads
    resources:
        **job_resources("train"),
        device=GRID.config.device,
        # How a job is computed does not change what it is.
        launcher=want("train").launcher,
        gradient_checkpointing=str(want("train").gradient_checkpointing).lower(),
        checkpoint_minutes=want("train").checkpoint_minutes,
        # The spec and the inputs say what a job needs.
        needed=INPUTS.needed_options,
        trial=lambda wildcards: train_specs.trial_use(GRID, GRID.stages[wildcards.stage].base),
    params:
        spec=lambda wildcards: train_specs.train_spec(GRID, wildcards.stage),
        version=train.VERSION,
        parent=lambda wildcards: option("parent", INPUTS.parent_folder(wildcards)),
        kept=layout.STORED_ADAPTERS,
        folder=folder_above(2),
    message:
        "train {STAGES:{wildcards.stage}}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} {resources.launcher} -m emgrid.train.train"
        " --spec {params.spec:q}"
        " --model {input.model:q} --rows {input.rows:q} {params.parent} {resources.needed}"
        " --device {resources.device}"
        " --gradient-checkpointing {resources.gradient_checkpointing}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --trial {resources.trial:q}"
        " --kept {params.kept:q} --output {params.folder:q} > {log} 2>&1"
