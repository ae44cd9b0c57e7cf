# Every answer judged by the panel, and the panel judged on labelled answers.
# Shared by all jobs that judge: kept judgements, endpoints, the models of local judges.
BENCH = (
    f"--kept rows/judgements --device {GRID.config.device}"
    f" --batch-size {want('judge').batch_size} --options {shlex.quote(specs.options(GRID))}"
)


# One job for each bucket of arms, so that a judge is loaded once for many of them.
for bucket in GRID.judged:

    rule:
        name:
            f"judge.{bucket.name}"
        input:
            answers_of(bucket.arms),
            models=judge_models(),
        output:
            job_record("judge", bucket.name),
        log:
            f"logs/judge/{bucket.name}.log",
        benchmark:
            f"benchmarks/judge/{bucket.name}.tsv"
        conda:
            "../../envs/emgrid.yaml"
        threads: want("judge").threads
        resources:
            mem_mb=want("judge").mem_mb,
            runtime=want("judge").runtime,
            gpu=want("judge").gpu,
            claim=want("judge").claim,
            endpoint=specs.calls_endpoint(GRID),
            bench=BENCH,
        params:
            # By a function: in a text, Snakemake would take a rubric's {mark} for a wildcard.
            spec=partial(spec_of, partial(specs.judge_spec, GRID), bucket),
            version=score.VERSION,
            file=handed(f"judge.{bucket.name}", partial(specs.judge_spec, GRID, bucket)),
            writer=bucket.name,
        message:
            f"judge {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.score"
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
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge").threads
    resources:
        mem_mb=want("judge").mem_mb,
        runtime=want("judge").runtime,
        gpu=want("judge").gpu,
        claim=want("judge").claim,
        endpoint=specs.calls_endpoint(GRID),
        bench=BENCH,
    params:
        spec=lambda wildcards: specs.quality_spec(GRID),
        version=code_version("emgrid.judge.quality"),
        folder=folder_above(1),
    message:
        "how good the judges are"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.quality"
        " --spec {params.spec:q}"
        " --output {params.folder:q} --writer labelled --models {input.models:q} {resources.bench}"
        " > {log} 2>&1"
