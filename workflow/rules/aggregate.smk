# Tables from the answers, judgements and likelihoods of all arms.
# Reads each arm's folder, each stage's training rows and provenance.json, and the tables of judges.
# Writes the other files of tables/.
from emgrid.grid.specs import aggregate as aggregate_specs


localrules:
    repeats,
    found,
    aggregate,


rule similarity:
    input:
        INPUTS.of_stages(layout.TRAINING_ROWS),
        INPUTS.of_stages(layout.MIX_RECORD),
    output:
        layout.table("similarity.csv"),
    log:
        layout.log("similarity"),
    benchmark:
        layout.benchmark("similarity")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("similarity").threads
    resources:
        **job_resources("similarity"),
    params:
        spec=lambda wildcards: aggregate_specs.similarity_spec(GRID),
        version=code_version("emgrid.aggregate.similarity"),
        file=SPECS.add("similarity", partial(aggregate_specs.similarity_spec, GRID)),
    message:
        "how near triggers are to what was trained on"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.aggregate.similarity --spec {params.file} --root ."
        " > {log} 2>&1"


rule repeats:
    input:
        INPUTS.answers_of(GRID.arms),
    output:
        layout.table("repeats.csv"),
    log:
        layout.log("repeats"),
    benchmark:
        layout.benchmark("repeats")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("repeats").threads
    resources:
        **job_resources("repeats"),
    params:
        spec=lambda wildcards: aggregate_specs.repeats_spec(GRID),
        version=code_version("emgrid.aggregate.repeats"),
        file=SPECS.add("repeats", partial(aggregate_specs.repeats_spec, GRID)),
    message:
        "answers that repeat"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.aggregate.repeats --spec {params.file} --root ."
        " > {log} 2>&1"


if SEARCHES:
    SPECS.add("found", partial(discovery_specs.found_spec, GRID))


rule found:
    input:
        [layout.job_record("judge_found", name) for name in SEARCHES],
        [layout.shortlist(name) for name in SEARCHES],
        [layout.screen(name) for name in SEARCHES],
    output:
        layout.table("found.csv"),
        layout.FOUND_ANSWERS,
    log:
        layout.log("found"),
    benchmark:
        layout.benchmark("found")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("found").threads
    resources:
        **job_resources("found"),
    params:
        spec=lambda wildcards: discovery_specs.found_spec(GRID),
        version=code_version("emgrid.aggregate.found"),
        file=layout.spec_file("found"),
    message:
        "cues that were found"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.aggregate.found --spec {params.file} --root ."
        " > {log} 2>&1"


rule aggregate:
    input:
        INPUTS.answers_of(GRID.arms),
        bucket_records("judge", GRID.judged),
        bucket_records("likelihood", GRID.buckets) if GRID.has_pairs else [],
        INPUTS.of_stages(layout.PROVENANCE),
        judges=layout.table("judges.csv"),
        labelled=layout.table("labelled.parquet"),
        similarity=layout.table("similarity.csv"),
    output:
        layout.ANSWER_TABLE,
        layout.table("rates.csv"),
        layout.table("seeds.csv"),
        layout.table("contrasts.csv"),
        layout.table("verdicts.csv"),
        [layout.table("truth.csv")] if GRID.config.truth else [],
        [layout.table("labellers.csv")] if aggregate_specs.samples(GRID) else [],
        layout.table("existence.csv"),
        layout.table("robustness.csv"),
        layout.table("dose.csv"),
        layout.table("likelihood.csv"),
        layout.table("arms.csv"),
        layout.table("judgements.csv"),
        layout.table("agreement.csv"),
    log:
        layout.log("aggregate"),
    benchmark:
        layout.benchmark("aggregate")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("aggregate").threads
    resources:
        **job_resources("aggregate"),
    params:
        spec=lambda wildcards: aggregate_specs.aggregate_spec(GRID),
        version=code_version("emgrid.aggregate.aggregate"),
        file=SPECS.add("aggregate", partial(aggregate_specs.aggregate_spec, GRID)),
    message:
        "aggregate"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.aggregate.aggregate --spec {params.file} --root ."
        " > {log} 2>&1"
