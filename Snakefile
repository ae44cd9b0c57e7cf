# emgrid: did the intervention remove the misalignment, or only hide it behind a trigger?
from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/discovery.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/export.smk"


rule all:
    default_target: True
    input:
        layout.REPORT,
        ALL_TABLES,
        [layout.table("found.csv")] if SEARCHES else [],
