# Judgements of every answer by every judge of the panel, and of labelled answers, which show how good
# the judges are.
# Reads each arm's answers/, the judges' base models, endpoints and resources/judges/. Writes each
# arm's judgements/, the rows that these are made of, a record for each job, and the tables of judges.

# Shared by all jobs that judge: kept judgements, endpoints, the models of local judges.
BENCH = (
    f"--kept rows/judgements --device {GRID.config.device}"
    f" --batch-size {want('judge').batch_size} --options {shlex.quote(judge_specs.options(GRID))}"
)


# Endpoints are called from where Snakemake runs: compute nodes need no network.
CALLS = bool(judge_specs.calls_endpoint(GRID)) and not want("judge").gpu


# One job for each bucket of arms, so that a judge is loaded once for many of them.
JUDGED = {bucket.name: bucket for bucket in GRID.judged}
for bucket in GRID.judged:
    handed(f"judge.{bucket.name}", partial(judge_specs.judge_spec, GRID, bucket))


rule judge:
    input:
        lambda wildcards: answers_of(JUDGED[wildcards.bucket].arms),
        models=judge_models(),
    output:
        job_record("judge", "{bucket}"),
    log:
        "logs/judge/{bucket}.log",
    benchmark:
        "benchmarks/judge/{bucket}.tsv"
    localrule: CALLS
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge").threads
    resources:
        mem_mb=memory("judge"),
        runtime=minutes("judge"),
        gpu=want("judge").gpu,
        claim=want("judge").claim,
        endpoint=judge_specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: judge_specs.judge_spec(GRID, JUDGED[wildcards.bucket]),
        version=judge.VERSION,
        file="specs/judge.{bucket}.json",
        writer="{bucket}",
    message:
        "judge {wildcards.bucket}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.judge"
        " --spec {params.file} --root . --record {output} --writer {params.writer:q}"
        " --models {input.models:q}"
        " {resources.bench} > {log} 2>&1"


rule judge_quality:
    input:
        models=judge_models(),
    output:
        "tables/judges.csv",
        "tables/calibration.csv",
        "tables/judge_errors.csv",
        "tables/labelled.parquet",
    log:
        "logs/judge_quality.log",
    benchmark:
        "benchmarks/judge_quality.tsv"
    localrule: CALLS
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge_quality").threads
    resources:
        mem_mb=memory("judge_quality"),
        runtime=minutes("judge_quality"),
        gpu=want("judge_quality").gpu,
        claim=want("judge_quality").claim,
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
