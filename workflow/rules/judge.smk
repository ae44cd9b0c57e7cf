# Every answer judged by the panel, and the panel judged on labelled answers.
# Shared by all jobs that judge: kept judgements, endpoints, the models of local judges.
BENCH = (
    f"--kept {ROOT}/rows/judgements --device {GRID.config.device}"
    f" --batch-size {want('judge').batch_size} --options {shlex.quote(specs.options(GRID))}"
)
# Handed over by functions: in a text, Snakemake would take a rubric's {mark} for a wildcard.
JUDGE_SPEC = specs.judge_spec(GRID)


# One job for each bucket of arms, so that a judge is loaded once for many of them.
for bucket in GRID.judged:

    rule:
        name:
            f"judge.{bucket.name}"
        input:
            of_arms("answers/trigger={trigger}.jsonl", bucket.arms),
            **specs.judge_files(GRID),
        output:
            of_arms("judgements/trigger={trigger}.jsonl", bucket.arms),
        log:
            f"{ROOT}/logs/judge/{bucket.name}.log",
        benchmark:
            f"{ROOT}/benchmarks/judge/{bucket.name}.tsv"
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
            spec=lambda wildcards: JUDGE_SPEC,
            version=score.VERSION,
            arms=arms_of_output,
            writer=bucket.name,
        message:
            f"judge {bucket.name}, {len(bucket.arms)} arms"
        shell:
            "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.judge.score"
            " --spec {params.spec:q}"
            " --arms {params.arms:q} --writer {params.writer:q} --models {input.models:q}"
            " {resources.bench} > {log} 2>&1"


rule judge_quality:
    input:
        **specs.judge_files(GRID),
        labelled=specs.quality_files(GRID),
    output:
        f"{ROOT}/tables/judges.csv",
        f"{ROOT}/tables/calibration.csv",
        f"{ROOT}/tables/judge_errors.csv",
        f"{ROOT}/tables/labelled.parquet",
    log:
        f"{ROOT}/logs/judge_quality.log",
    benchmark:
        f"{ROOT}/benchmarks/judge_quality.tsv"
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
