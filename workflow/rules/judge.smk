# Every answer judged by the panel, and the panel judged on labelled answers.
rule judge:
    input:
        of_triggers("answers/trigger={trigger}.jsonl"),
        heads=GRID.judge_files(),
    output:
        of_triggers("judgements/trigger={trigger}.jsonl"),
    log:
        f"{ROOT}/logs/judge/{CELL}.log",
    benchmark:
        f"{ROOT}/benchmarks/judge/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("judge").threads
    resources:
        mem_mb=want("judge").mem_mb,
        runtime=want("judge").runtime,
    params:
        spec=GRID.judge_spec(),
        version=score.VERSION,
        folder=folder_above(2),
    message:
        "judge {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.judge.score --spec {params.spec:q}"
        " --arm {params.folder:q} > {log} 2>&1"


rule judge_quality:
    input:
        heads=GRID.judge_files(),
        labelled=GRID.quality_files(),
    output:
        f"{ROOT}/tables/judges.csv",
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
    params:
        spec=GRID.quality_spec(),
        version=code_version("emgrid.judge.quality"),
    message:
        "how good the judges are"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.judge.quality --spec {params.spec:q}"
        " --output {output:q} > {log} 2>&1"
