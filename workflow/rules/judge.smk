# Judgements of every answer by every judge of the panel, and of labelled answers, which show how good
# the judges are.
# Reads each arm's answers/, the judges' base models, endpoints and resources/judges/. Writes each
# arm's judgements/, the rows that these are made of, a record for each job, and the tables of judges.

# Shared by all jobs that judge: kept judgements, endpoints, the models of local judges.
BENCH = (
    f"--kept {layout.STORED_JUDGEMENTS} --device {GRID.config.device}"
    f" --batch-size {want('judge').batch_size} --options {shlex.quote(judge_specs.options(GRID))}"
)


# Endpoints are called from where Snakemake runs: compute nodes need no network.
CALLS = bool(judge_specs.calls_endpoint(GRID)) and not want("judge").gpu


# One job for each bucket of arms, so that a judge is loaded once for many of them.
JUDGED = {bucket.name: bucket for bucket in GRID.judged}
JUDGED_ARMS = bucket_titles(GRID, JUDGED)
for bucket in GRID.judged:
    SPECS.add(f"judge.{bucket.name}", partial(judge_specs.judge_spec, GRID, bucket))


rule judge:
    input:
        lambda wildcards: INPUTS.answers_of(JUDGED[wildcards.bucket].arms),
        models=INPUTS.judge_models(),
    output:
        layout.job_record("judge", "{bucket}"),
    log:
        layout.log("judge", "{bucket}"),
    benchmark:
        layout.benchmark("judge", "{bucket}")
    localrule: CALLS
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge").threads
    resources:
        **job_resources("judge"),
        endpoint=judge_specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: judge_specs.judge_spec(GRID, JUDGED[wildcards.bucket]),
        version=judge.VERSION,
        file=layout.spec_file("judge.{bucket}"),
        writer="{bucket}",
    message:
        "judge {JUDGED_ARMS:{wildcards.bucket}}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.judge"
        " --spec {params.file} --root . --record {output} --writer {params.writer:q}"
        " --models {input.models:q}"
        " {resources.bench} > {log} 2>&1"


for name, search in SEARCHES.items():
    SPECS.add(f"judge_found.{name}", partial(discovery_specs.judge_found_spec, GRID, search))


rule judge_found:
    input:
        layout.job_record("found", "{search}"),
        models=INPUTS.judge_models(),
        wordings=layout.shortlist("{search}"),
    output:
        layout.job_record("judge_found", "{search}"),
    log:
        layout.log("judge_found", "{search}"),
    benchmark:
        layout.benchmark("judge_found", "{search}")
    localrule: CALLS
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge_found").threads
    resources:
        **job_resources("judge_found"),
        endpoint=judge_specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: discovery_specs.judge_found_spec(GRID, SEARCHES[wildcards.search]),
        version=judge.VERSION,
        file=layout.spec_file("judge_found.{search}"),
        writer="found.{search}",
    message:
        "judge {SEARCHED:{wildcards.search}} under its shortlist"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.judge"
        " --spec {params.file:q} --wordings {input.wordings:q} --root . --record {output:q}"
        " --writer {params.writer:q} --models {input.models:q} {resources.bench} > {log} 2>&1"


rule judge_quality:
    input:
        models=INPUTS.judge_models(),
    output:
        layout.table("judges.csv"),
        layout.table("calibration.csv"),
        layout.table("judge_errors.csv"),
        layout.table("labelled.parquet"),
    log:
        layout.log("judge_quality"),
    benchmark:
        layout.benchmark("judge_quality")
    localrule: CALLS
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge_quality").threads
    resources:
        **job_resources("judge_quality"),
        endpoint=judge_specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: judge_specs.quality_spec(GRID),
        version=code_version("emgrid.judge.quality"),
        folder=folder_above(1),
    message:
        "how good the judges are"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.quality"
        " --spec {params.spec:q}"
        " --output {params.folder:q} --writer labelled --models {input.models:q} {resources.bench}"
        " > {log} 2>&1"
