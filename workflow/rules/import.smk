# Answers that others sampled and judged become arms.
localrules:
    fetch_import,
    import_answers,


rule fetch_import:
    output:
        "assets/imports/{file}",
    log:
        "logs/fetch_import/{file}.log",
    benchmark:
        "benchmarks/fetch_import/{file}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("fetch_import").threads
    resources:
        mem_mb=want("fetch_import").mem_mb,
        runtime=want("fetch_import").runtime,
        mirror=option("mirror", GRID.config.mirror),
    params:
        spec=lambda wildcards: GRID.fetch_import_spec(wildcards.file),
    message:
        "fetch {wildcards.file}"
    shell:
        "python -m emgrid.data.fetch --spec {params.spec:q} {resources.mirror} --output {output:q}"
        " > {log} 2>&1"


rule import_answers:
    input:
        fetched=lambda wildcards: fetched_import(imported_arm(wildcards)),
    output:
        record=job_record("import", CELL),
        notes=f"{IMPORTED}/notes.json",
    log:
        f"logs/import/{CELL}.log",
    benchmark:
        f"benchmarks/import/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import_answers").threads
    resources:
        mem_mb=want("import_answers").mem_mb,
        runtime=want("import_answers").runtime,
        source=lambda wildcards, input: source_of(
            GRID.own_import(imported_arm(wildcards)), input.fetched
        ),
    params:
        spec=lambda wildcards: GRID.import_spec(imported_arm(wildcards)),
        version=code_version("emgrid.sample.import_answers"),
        folder=f"{IMPORTED}/answers",
    message:
        "import {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "python -m emgrid.sample.import_answers --spec {params.spec:q} {resources.source}"
        " --output {params.folder:q} --record {output.record:q} > {log} 2>&1"
