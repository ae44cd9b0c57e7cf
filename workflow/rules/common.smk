# What all rule files share: the grid of the config, and how rules look up inputs and resources in it.
# Paths are relative to the grid's own folder, results/<name>/, where Snakemake works.
import shlex
import sys
import time
from functools import partial

from emgrid.data import convert, generate, mix, preflight, qualify, select
from emgrid.grid import rule_inputs
from emgrid.grid.figures import figure_names
from emgrid.grid.rule_inputs import bucket_records, folder_above, option, options
from emgrid.grid.snakefile import SpecFiles, begin, start
from emgrid.grid.titles import bucket_titles, stage_titles
from emgrid.grid.specs import judge as judge_specs
from emgrid.judge import judge
from emgrid.runtime import layout, slurm
from emgrid.runtime.code_version import code_version
from emgrid.runtime.files import canonical
from emgrid.sample import answers, likelihood, served
from emgrid.train import train

BEGUN = time.time()
# Snakemake runs no onstart of a module, and without it jobs have no specs and grids no lock.
if not workflow.modifier.is_main_snakefile():
    sys.exit(
        "emgrid: emgrid cannot be a module of another workflow; run it from a rule: "
        '`shell: "emgrid run my.yaml"` (docs/setup.md)'
    )
# A dry run writes nothing, nor does --lint, for which alone variables are not checked.
WRITES = workflow.check_envvars and not workflow.output_settings.dryrun
GRID = start(config, workflow.configfiles, WRITES)
INPUTS = rule_inputs.Inputs(GRID)
# Specs of jobs for many arms: commands get the name of a file, written when a run begins.
SPECS = SpecFiles()
job_resources = partial(rule_inputs.job_resources, GRID.config)
# What one job of a rule may use, as the config says.
want = GRID.config.resources_of

# What messages call training stages.
STAGES = stage_titles(GRID)

# Folders and names with wildcards.
ARM = {name: f"{{{name}}}" for name in ("base", "intervention", "ratio", "seed")}
ARM_NAME = layout.arm_name(**ARM)
STAGE = layout.stage_folder("{stage}")
ALL_TABLES = [layout.table(name) for name in layout.REPORTED_TABLES]
DRAWN = figure_names(GRID)


wildcard_constraints:
    base="[^/]+",
    intervention="[^/]+",
    ratio="[^/]+",
    seed="[0-9]+",
    stage="[^/]+",
    search="[^/]+",
    dataset="[^/]+",
    adapter="[^/]+",
    bucket="[^/]+",
    drawn="[^/]+",
    generated="[^/]+",
    selected="[^/]+",
    file="[^/]+",
    job="[^/]+",
    place="arms|imported|served",


# Executed when a run begins, not by a dry run, nor by the jobs themselves.
onstart:
    begin(GRID, SPECS.texts())


onerror:
    slurm.tell_ended(BEGUN)
