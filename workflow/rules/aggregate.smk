# Tables from the answers, judgements and likelihoods of all arms.
# Reads each arm's folder, each stage's training rows and provenance.json, and the tables of judges.
# Writes the other files of tables/.
from emgrid.grid.specs import aggregate as aggregate_specs


localrules:
    repeats,
    aggregate,


rule similarity:
    input:
        of_stages("train.jsonl"),
        of_stages("mix.json"),
    output:
        "tables/similarity.csv",
    log:
        "logs/similarity.log",
    benchmark:
        "benchmarks/similarity.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("similarity").threads
    resources:
        mem_mb=memory("similarity"),
        runtime=minutes("similarity"),
    params:
        spec=lambda wildcards: aggregate_specs.similarity_spec(GRID),
        version=code_version("emgrid.aggregate.similarity"),
        file=handed("similarity", partial(aggregate_specs.similarity_spec, GRID)),
    message:
        "how near triggers are to what was trained on"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.aggregate.similarity --spec {params.file} --root ."
        " > {log} 2>&1"


rule repeats:
    input:
        answers_of(GRID.arms),
    output:
        "tables/repeats.csv",
    log:
        "logs/repeats.log",
    benchmark:
        "benchmarks/repeats.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("repeats").threads
    resources:
        mem_mb=want("repeats").mem_mb,
        runtime=want("repeats").runtime,
    params:
        spec=lambda wildcards: aggregate_specs.repeats_spec(GRID),
        version=code_version("emgrid.aggregate.repeats"),
        file=handed("repeats", partial(aggregate_specs.repeats_spec, GRID)),
    message:
        "answers that repeat"
    shell:
        "python -m emgrid.aggregate.repeats --spec {params.file} --root . > {log} 2>&1"


rule aggregate:
    input:
        answers_of(GRID.arms),
        of_buckets("judge", GRID.judged),
        of_buckets("likelihood", GRID.buckets) if GRID.has_pairs else [],
        of_stages("provenance.json"),
        judges="tables/judges.csv",
        labelled="tables/labelled.parquet",
        similarity="tables/similarity.csv",
    output:
        "tables/answers.parquet",
        "tables/rates.csv",
        "tables/seeds.csv",
        "tables/contrasts.csv",
        "tables/verdicts.csv",
        "tables/robustness.csv",
        "tables/dose.csv",
        "tables/likelihood.csv",
        "tables/arms.csv",
        "tables/judgements.csv",
        "tables/agreement.csv",
    log:
        "logs/aggregate.log",
    benchmark:
        "benchmarks/aggregate.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("aggregate").threads
    resources:
        mem_mb=want("aggregate").mem_mb,
        runtime=want("aggregate").runtime,
    params:
        spec=lambda wildcards: aggregate_specs.aggregate_spec(GRID),
        version=code_version("emgrid.aggregate.aggregate"),
        file=handed("aggregate", partial(aggregate_specs.aggregate_spec, GRID)),
    message:
        "aggregate"
    shell:
        "python -m emgrid.aggregate.aggregate --spec {params.file} --root . > {log} 2>&1"
