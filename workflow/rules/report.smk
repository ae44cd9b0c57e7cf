# Figures and the page.
from emgrid.report.specs import TEMPLATES, report_spec


localrules:
    figure,
    report,


rule figure:
    input:
        read_by_figure,
    output:
        f"{ROOT}/figures/{{figure}}.svg",
        png=report(
            f"{ROOT}/figures/{{figure}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PNG"},
        ),
        pdf=report(
            f"{ROOT}/figures/{{figure}}.pdf",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "format": "PDF"},
        ),
    log:
        f"{ROOT}/logs/figure/{{figure}}.log",
    benchmark:
        f"{ROOT}/benchmarks/figure/{{figure}}.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("report").threads
    resources:
        mem_mb=want("report").mem_mb,
        runtime=want("report").runtime,
    params:
        spec=lambda wildcards: GRID.figure_spec(),
        version=code_version("emgrid.report.figures.__main__"),
        root=folder_above(2),
    message:
        "figure {wildcards.figure}"
    shell:
        "python -m emgrid.report.figures --spec {params.spec:q} --root {params.root:q}"
        " --figure {wildcards.figure} > {log} 2>&1"


rule report:
    input:
        expand(f"{ROOT}/tables/{{table}}", table=TABLES),
        expand(f"{ROOT}/figures/{{figure}}.{{kind}}", figure=DRAWN, kind=["svg", "png", "pdf"]),
    output:
        report(f"{ROOT}/report.html", caption="../report/report.rst", category="Report"),
    log:
        f"{ROOT}/logs/report.log",
    benchmark:
        f"{ROOT}/benchmarks/report.tsv"
    conda:
        "../../envs/emgrid.yaml"
    threads: want("report").threads
    resources:
        mem_mb=want("report").mem_mb,
        runtime=want("report").runtime,
    params:
        spec=lambda wildcards: report_spec(GRID, differences(GRID)),
        version=code_version("emgrid.report.page", *TEMPLATES),
        root=folder_above(1),
    message:
        "report"
    shell:
        "python -m emgrid.report.page --spec {params.spec:q} --root {params.root:q} > {log} 2>&1"
