# The search for triggers that nobody listed: candidates, their screen by likelihood, the shortlist.
# Reads training rows, data sets, base models and adapters. Writes discovery/, and the rows that its
# scores are made of. Answers under the cues of a shortlist are sampled and judged as all others are
# (sample.smk, judge.smk), and their table is made in aggregate.smk.
from emgrid.discovery import screen, shortlist
from emgrid.grid.searches import searches
from emgrid.grid.specs import discovery as discovery_specs
from emgrid.grid.titles import search_titles


localrules:
    propose,
    shortlist,


# One search for each arm without its seed; none without the config's section `discovery`.
SEARCHES = searches(GRID)
SEARCHED = search_titles(GRID, SEARCHES)
for name, search in SEARCHES.items():
    SPECS.add(f"screen.{name}", partial(discovery_specs.screen_spec, GRID, search))
    SPECS.add(f"shortlist.{name}", partial(discovery_specs.shortlist_spec, GRID, search))


rule propose:
    input:
        lambda wildcards: discovery_specs.proposed_from(SEARCHES[wildcards.search]),
    output:
        layout.candidates("{search}"),
    log:
        layout.log("propose", "{search}"),
    benchmark:
        layout.benchmark("propose", "{search}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("propose").threads
    resources:
        **job_resources("propose"),
    params:
        spec=lambda wildcards: discovery_specs.propose_spec(GRID, SEARCHES[wildcards.search]),
        version=code_version("emgrid.discovery.propose"),
    message:
        "candidates for triggers of {SEARCHED:{wildcards.search}}"
    shell:
        "OMP_NUM_THREADS={threads} python -m emgrid.discovery.propose --spec {params.spec:q} --root ."
        " --output {output:q} > {log} 2>&1"


rule screen:
    input:
        lambda wildcards: discovery_specs.held_out(SEARCHES[wildcards.search]),
        model=lambda wildcards: layout.model_record(SEARCHES[wildcards.search].base.base),
        adapters=lambda wildcards: SEARCHES[wildcards.search].adapters,
        candidates=layout.candidates("{search}"),
    output:
        layout.screen("{search}"),
    log:
        layout.log("screen", "{search}"),
    benchmark:
        layout.benchmark("screen", "{search}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("screen").threads
    resources:
        **job_resources("screen"),
        batch_size=want("screen").batch_size,
        device=GRID.config.device,
    params:
        spec=lambda wildcards: discovery_specs.screen_spec(GRID, SEARCHES[wildcards.search]),
        version=screen.VERSION,
        file=layout.spec_file("screen.{search}"),
        kept=layout.stored_screen("{search}"),
    message:
        "screen the candidates of {SEARCHED:{wildcards.search}}"
    shell:
        "OMP_NUM_THREADS={threads} {resources.claim} python -m emgrid.discovery.screen"
        " --spec {params.file:q} --model {input.model:q} --candidates {input.candidates:q}"
        " --device {resources.device} --batch-size {resources.batch_size} --root ."
        " --kept {params.kept:q} --output {output:q} > {log} 2>&1"


rule shortlist:
    input:
        lambda wildcards: discovery_specs.held_out(SEARCHES[wildcards.search]),
        screen=layout.screen("{search}"),
    output:
        layout.shortlist("{search}"),
    log:
        layout.log("shortlist", "{search}"),
    benchmark:
        layout.benchmark("shortlist", "{search}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("shortlist").threads
    resources:
        **job_resources("shortlist"),
    params:
        spec=lambda wildcards: discovery_specs.shortlist_spec(GRID, SEARCHES[wildcards.search]),
        version=shortlist.VERSION,
        file=layout.spec_file("shortlist.{search}"),
    message:
        "shortlist of {SEARCHED:{wildcards.search}}"
    shell:
        "python -m emgrid.discovery.shortlist --spec {params.file:q} --screen {input.screen:q}"
        " --root . --output {output:q} > {log} 2>&1"
