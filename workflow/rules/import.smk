# Answers that others sampled and judged become arms.
localrules:
    fetch_import,
    import_answers,


rule fetch_import:
    output:
        f"{ROOT}/assets/imports/{{file}}",
    log:
        f"{ROOT}/logs/fetch_import/{{file}}.log",
    benchmark:
        f"{ROOT}/benchmarks/fetch_import/{{file}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import").threads
    resources:
        mem_mb=want("import").mem_mb,
        runtime=want("import").runtime,
        mirror=option("mirror", GRID.config.mirror),
    params:
        spec=lambda wildcards: GRID.fetch_import_spec(wildcards.file),
    message:
        "fetch {wildcards.file}"
    shell:
        "python -m emgrid.fetch --spec {params.spec:q} {resources.mirror} --output {output:q}"
        " > {log} 2>&1"


rule import_answers:
    input:
        source=lambda wildcards: GRID.import_file(GRID.arm(**wildcards, place="imported")),
    output:
        answers=of_triggers("answers/trigger={trigger}.jsonl", IMPORTED),
    log:
        f"{ROOT}/logs/import/{CELL}.log",
    benchmark:
        f"{ROOT}/benchmarks/import/{CELL}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("import").threads
    resources:
        mem_mb=want("import").mem_mb,
        runtime=want("import").runtime,
    params:
        spec=lambda wildcards: GRID.import_spec(GRID.arm(**wildcards, place="imported")),
        version=code_version("emgrid.imports"),
        folder=folder_above(1),
    message:
        "import {wildcards.base} {wildcards.intervention} {wildcards.ratio} seed {wildcards.seed}"
    shell:
        "python -m emgrid.imports --spec {params.spec:q} --source {input.source:q}"
        " --output {params.folder:q} > {log} 2>&1"
