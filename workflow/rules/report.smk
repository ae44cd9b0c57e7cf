# Figures and the report page.
# Reads tables/, the loss.csv of each stage, and the notes of imported arms. Writes figures/,
# transcripts/ and report.html.
from emgrid.grid.figures import figures_version
from emgrid.grid.specs.report import TEMPLATES, figure_spec, report_spec


localrules:
    figures,
    report,


# One job draws all figures: most of the time of drawing one is spent on importing matplotlib.
rule figures:
    input:
        INPUTS.tables_of_figures(DRAWN),
    output:
        [layout.figure(name, "svg") for name in DRAWN],
        [
            report(
                layout.figure(name, kind),
                caption=f"../report/figures/{name}.rst",
                category="Figures",
                labels={"figure": name, "format": kind.upper()},
            )
            for name in DRAWN
            for kind in ("png", "pdf")
        ],
    log:
        layout.log("figures"),
    benchmark:
        layout.benchmark("figures")
    conda:
        "../../envs/emgrid.yaml"
    threads: want("figures").threads
    resources:
        **job_resources("figures"),
    params:
        spec=lambda wildcards: figure_spec(GRID),
        version=figures_version(DRAWN),
        file=SPECS.add("figures", partial(figure_spec, GRID)),
        names=DRAWN,
    message:
        "figures"
    shell:
        "python -m emgrid.report.figures --spec {params.file} --root ."
        " --figures {params.names} > {log} 2>&1"


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
