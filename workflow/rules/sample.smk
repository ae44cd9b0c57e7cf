# What arms answer, and how likely they find matched answers, under every trigger.
# Reads base models, adapters, endpoints of served models, and files that others published. Writes
# each arm's answers/ and likelihood/, the rows that these are made of, and a record for each job.
from emgrid.grid.specs import sample as sample_specs
from emgrid.grid.specs import train as train_specs


localrules:
    sample_served,
    import_answers,
    allocate,


# One job for each bucket of arms of a base model, so that an engine starts once for many arms.
SAMPLED = {bucket.name: bucket for bucket in GRID.buckets}
SAMPLED_ARMS = bucket_titles(GRID, SAMPLED)
for bucket in GRID.buckets:
    SPECS.add(f"sample.{bucket.name}", partial(sample_specs.sample_spec, GRID, bucket))
    SPECS.add(f"likelihood.{bucket.name}", partial(sample_specs.likelihood_spec, GRID, bucket))


# Which questions each arm is asked in this round, if the config has rounds.
ALLOCATED = {bucket.name: bucket.arms for bucket in GRID.buckets}
ALLOCATED |= {arm.writer: [arm] for arm in GRID.served}
for job, arms in ALLOCATED.items() if GRID.rounds else ():
    SPECS.add(f"allocate.{job}", partial(sample_specs.allocation_spec, GRID, arms))


rule allocate:
    output:
        layout.allocation("{job}"),
    log:
        layout.log("allocate", "{job}"),
    benchmark:
        layout.benchmark("allocate", "{job}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("allocate").threads
    resources:
        **job_resources("allocate"),
    params:
        spec=lambda wildcards: sample_specs.allocation_spec(GRID, ALLOCATED[wildcards.job]),
        file=layout.spec_file("allocate.{job}"),
    message:
        "questions of this round for {wildcards.job}"
    shell:
        "python -m emgrid.sample.allocate --spec {params.file} --output {output:q} > {log} 2>&1"


rule sample:
    input:
        model=lambda wildcards: layout.model_record(SAMPLED[wildcards.bucket].base),
        adapters=lambda wildcards: SAMPLED[wildcards.bucket].adapters,
        allocation=lambda wildcards: INPUTS.allocation(wildcards.bucket),
    output:
        layout.job_record("sample", "{bucket}"),
    log:
        layout.log("sample", "{bucket}"),
    benchmark:
        layout.benchmark("sample", "{bucket}")
    # Judging waits for it, and for likelihood only aggregation does.
    priority: 5
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample").threads
    resources:
        **job_resources("sample"),
        batch_size=want("sample").batch_size,
        device=GRID.config.device,
        engines=canonical(GRID.config.engines.model_dump(mode="json")),
        trial=lambda wildcards: train_specs.trial_use(GRID, SAMPLED[wildcards.bucket].base),
        allocation=lambda wildcards, input: option("allocation", input.allocation),
    params:
        spec=lambda wildcards: sample_specs.sample_spec(GRID, SAMPLED[wildcards.bucket]),
        version=answers.VERSION,
        file=layout.spec_file("sample.{bucket}"),
    message:
        "sample {SAMPLED_ARMS:{wildcards.bucket}}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.sample"
        " --spec {params.file} --model {input.model:q}"
        " --device {resources.device} --batch-size {resources.batch_size}"
        " --engines {resources.engines:q} --trial {resources.trial:q}"
        " {resources.allocation} --root . --record {output} > {log} 2>&1"


for name, search in SEARCHES.items():
    SPECS.add(f"found.{name}", partial(discovery_specs.sample_found_spec, GRID, search))


# The cues are those of a file, so that which jobs there are depends on the config alone.
rule sample_found:
    input:
        model=lambda wildcards: layout.model_record(SEARCHES[wildcards.search].base.base),
        adapters=lambda wildcards: SEARCHES[wildcards.search].confirmed_adapters,
        wordings=layout.shortlist("{search}"),
    output:
        layout.job_record("found", "{search}"),
    log:
        layout.log("sample_found", "{search}"),
    benchmark:
        layout.benchmark("sample_found", "{search}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample_found").threads
    resources:
        **job_resources("sample_found"),
        batch_size=want("sample_found").batch_size,
        device=GRID.config.device,
        engines=canonical(GRID.config.engines.model_dump(mode="json")),
        trial=lambda wildcards: train_specs.trial_use(GRID, SEARCHES[wildcards.search].base.base),
    params:
        spec=lambda wildcards: discovery_specs.sample_found_spec(GRID, SEARCHES[wildcards.search]),
        version=answers.VERSION,
        file=layout.spec_file("found.{search}"),
    message:
        "sample {SEARCHED:{wildcards.search}} under its shortlist"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.sample"
        " --spec {params.file:q} --model {input.model:q}"
        " --device {resources.device} --batch-size {resources.batch_size}"
        " --engines {resources.engines:q} --trial {resources.trial:q}"
        " --wordings {input.wordings:q} --root . --record {output:q} > {log} 2>&1"


rule likelihood:
    input:
        model=lambda wildcards: layout.model_record(SAMPLED[wildcards.bucket].base),
        adapters=lambda wildcards: SAMPLED[wildcards.bucket].adapters,
    output:
        layout.job_record("likelihood", "{bucket}"),
    log:
        layout.log("likelihood", "{bucket}"),
    benchmark:
        layout.benchmark("likelihood", "{bucket}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("likelihood").threads
    resources:
        **job_resources("likelihood"),
        batch_size=want("likelihood").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: sample_specs.likelihood_spec(GRID, SAMPLED[wildcards.bucket]),
        version=likelihood.VERSION,
        file=layout.spec_file("likelihood.{bucket}"),
    message:
        "likelihood of {SAMPLED_ARMS:{wildcards.bucket}}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.sample.likelihood"
        " --spec {params.file} --model {input.model:q} --device {resources.device}"
        " --batch-size {resources.batch_size} --root . --record {output} > {log} 2>&1"


rule sample_served:
    input:
        allocation=lambda wildcards: INPUTS.allocation(INPUTS.served_arm(wildcards).writer),
    output:
        layout.job_record("served", ARM_NAME),
    log:
        layout.log("sample_served", ARM_NAME),
    benchmark:
        layout.benchmark("sample_served", ARM_NAME)
    conda:
        "../../envs/emgrid.yaml"
    threads: want("sample_served").threads
    resources:
        **job_resources("sample_served"),
        endpoint=1,
        allocation=lambda wildcards, input: option("allocation", input.allocation),
        options=lambda wildcards: shlex.quote(
            sample_specs.served_options(GRID, INPUTS.served_arm(wildcards))
        ),
    params:
        spec=lambda wildcards: sample_specs.served_spec(GRID, INPUTS.served_arm(wildcards)),
        version=served.VERSION,
        kept=layout.STORED_SERVED,
        folder=f"{layout.arm_folder(**ARM, place='served')}/{layout.ANSWERS}",
    message:
        "sample {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
        " at its endpoint"
    shell:
        "python -m emgrid.sample.served --spec {params.spec:q} --options {resources.options}"
        " {resources.allocation} --kept {params.kept:q} --output {params.folder:q}"
        " --record {output:q} > {log} 2>&1"


rule import_answers:
    input:
        fetched=INPUTS.fetched_import,
    output:
        record=layout.job_record("import", ARM_NAME),
        notes=f"{layout.arm_folder(**ARM, place='imported')}/{layout.IMPORT_NOTES}",
    log:
        layout.log("import", ARM_NAME),
    benchmark:
        layout.benchmark("import", ARM_NAME)
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import_answers").threads
    resources:
        **job_resources("import_answers"),
        source=lambda wildcards, input: option(
            "source", GRID.own_import(INPUTS.imported_arm(wildcards)) or input.fetched
        ),
    params:
        spec=lambda wildcards: sample_specs.import_spec(GRID, INPUTS.imported_arm(wildcards)),
        version=code_version("emgrid.sample.import_answers"),
        folder=f"{layout.arm_folder(**ARM, place='imported')}/{layout.ANSWERS}",
    message:
        "import {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "python -m emgrid.sample.import_answers --spec {params.spec:q} {resources.source}"
        " --output {params.folder:q} --record {output.record:q} > {log} 2>&1"
