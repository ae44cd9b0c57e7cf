# Answers, judgements and likelihoods of all arms become tables.
localrules:
    repeats,
    aggregate,


rule similarity:
    input:
        of_stages("train.jsonl"),
        of_stages("mix.json"),
    output:
        f"{ROOT}/tables/similarity.csv",
    log:
        f"{ROOT}/logs/similarity.log",
    benchmark:
        f"{ROOT}/benchmarks/similarity.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("similarity").threads
    resources:
        mem_mb=want("similarity").mem_mb,
        runtime=want("similarity").runtime,
    params:
        spec=lambda wildcards: GRID.similarity_spec(),
        version=code_version("emgrid.similarity"),
        root=folder_above(2),
    message:
        "how near triggers are to what was trained on"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.similarity --spec {params.spec:q}"
        " --root {params.root:q} > {log} 2>&1"


rule repeats:
    input:
        of_arms("answers/trigger={trigger}.jsonl"),
    output:
        f"{ROOT}/tables/repeats.csv",
    log:
        f"{ROOT}/logs/repeats.log",
    benchmark:
        f"{ROOT}/benchmarks/repeats.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("aggregate").threads
    resources:
        mem_mb=want("aggregate").mem_mb,
        runtime=want("aggregate").runtime,
    params:
        spec=lambda wildcards: GRID.repeats_spec(),
        version=code_version("emgrid.repeats"),
        root=folder_above(2),
    message:
        "answers that repeat"
    shell:
        "python -m emgrid.repeats --spec {params.spec:q} --root {params.root:q} > {log} 2>&1"


rule aggregate:
    input:
        of_arms("answers/trigger={trigger}.jsonl"),
        of_arms("judgements/trigger={trigger}.jsonl"),
        of_arms("likelihood/trigger={trigger}.jsonl", GRID.trained) if GRID.has_pairs else [],
        of_stages("provenance.json"),
        judges=f"{ROOT}/tables/judges.csv",
        labelled=f"{ROOT}/tables/labelled.parquet",
        similarity=f"{ROOT}/tables/similarity.csv",
    output:
        f"{ROOT}/tables/answers.parquet",
        f"{ROOT}/tables/rates.csv",
        f"{ROOT}/tables/seeds.csv",
        f"{ROOT}/tables/contrasts.csv",
        f"{ROOT}/tables/verdicts.csv",
        f"{ROOT}/tables/robustness.csv",
        f"{ROOT}/tables/dose.csv",
        f"{ROOT}/tables/likelihood.csv",
        f"{ROOT}/tables/arms.csv",
        f"{ROOT}/tables/judgements.csv",
        f"{ROOT}/tables/agreement.csv",
    log:
        f"{ROOT}/logs/aggregate.log",
    benchmark:
        f"{ROOT}/benchmarks/aggregate.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("aggregate").threads
    resources:
        mem_mb=want("aggregate").mem_mb,
        runtime=want("aggregate").runtime,
    params:
        spec=lambda wildcards: GRID.aggregate_spec(),
        version=code_version("emgrid.aggregate"),
        root=folder_above(2),
    message:
        "aggregate"
    shell:
        "python -m emgrid.aggregate --spec {params.spec:q} --root {params.root:q} > {log} 2>&1"
