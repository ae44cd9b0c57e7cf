# Figures and the report page.
# Reads tables/, the loss.csv of each stage, and the notes of imported arms. Writes figures/,
# transcripts/ and report.html.
from emgrid.grid.figures import figure_version
from emgrid.grid.specs.report import TEMPLATES, figure_spec, report_spec


localrules:
    figure,
    report,


rule figure:
    input:
        read_by_figure,
    output:
        "figures/{figure}.svg",
        png=report(
            "figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PNG"},
        ),
        pdf=report(
            "figures/{figure}.pdf",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PDF"},
        ),
    log:
        "logs/figure/{figure}.log",
    benchmark:
        "benchmarks/figure/{figure}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("figure").threads
    resources:
        mem_mb=want("figure").mem_mb,
        runtime=want("figure").runtime,
    params:
        spec=lambda wildcards: figure_spec(GRID),
        version=lambda wildcards: figure_version(wildcards.figure),
        file=handed("figure", partial(figure_spec, GRID)),
    message:
        "figure {wildcards.figure}"
    shell:
        "python -m emgrid.report.figures --spec {params.file} --root ."
        " --figure {wildcards.figure} > {log} 2>&1"


rule report:
    input:
        expand("tables/{table}", table=TABLES),
        expand("figures/{figure}.{kind}", figure=DRAWN, kind=["svg", "png", "pdf"]),
        [f"{arm.folder}/notes.json" for arm in GRID.imported],
    output:
        report("report.html", caption="../report/report.rst", category="Report"),
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("report").threads
    resources:
        mem_mb=want("report").mem_mb,
        runtime=want("report").runtime,
    params:
        spec=lambda wildcards: report_spec(GRID),
        version=code_version("emgrid.report.page", files=TEMPLATES),
        file=handed("report", partial(report_spec, GRID)),
    message:
        "report"
    shell:
        "python -m emgrid.report.page --spec {params.file} --root . > {log} 2>&1"
