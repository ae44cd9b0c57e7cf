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
        INPUTS.tables_of_figure,
    output:
        layout.figure("{figure}", "svg"),
        png=report(
            layout.figure("{figure}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PNG"},
        ),
        pdf=report(
            layout.figure("{figure}", "pdf"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PDF"},
        ),
    log:
        layout.log("figure", "{figure}"),
    benchmark:
        layout.benchmark("figure", "{figure}")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("figure").threads
    resources:
        **job_resources("figure"),
    params:
        spec=lambda wildcards: figure_spec(GRID),
        version=lambda wildcards: figure_version(wildcards.figure),
        file=SPECS.add("figure", partial(figure_spec, GRID)),
    message:
        "figure {wildcards.figure}"
    shell:
        "python -m emgrid.report.figures --spec {params.file} --root ."
        " --figure {wildcards.figure} > {log} 2>&1"


rule report:
    input:
        ALL_TABLES,
        [layout.table("found.csv"), layout.FOUND_ANSWERS] if SEARCHES else [],
        [layout.figure(name, kind) for name in DRAWN for kind in ("svg", "png", "pdf")],
        [f"{arm.folder}/{layout.IMPORT_NOTES}" for arm in GRID.imported],
    output:
        report(layout.REPORT, caption="../report/report.rst", category="Report"),
    log:
        layout.log("report"),
    benchmark:
        layout.benchmark("report")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("report").threads
    resources:
        **job_resources("report"),
    params:
        spec=lambda wildcards: report_spec(GRID),
        version=code_version("emgrid.report.page", files=TEMPLATES),
        file=SPECS.add("report", partial(report_spec, GRID)),
    message:
        "report"
    shell:
        "python -m emgrid.report.page --spec {params.file} --root . > {log} 2>&1"
