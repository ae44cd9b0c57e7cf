# The grid of this config, and what the rules look up in it.
import shlex
from pathlib import Path

from emgrid import datasets, generate, likelihood, mix, qualify, sample, served, train
from emgrid.files import canonical
from emgrid.judge import score, specs
from emgrid.plan import differences
from emgrid.report import FIGURES
from emgrid.report.contents import figure_names
from emgrid.start import code_version, start

GRID = start(config, workflow.configfiles)
ROOT = GRID.root
POINT = "base={base}/intervention={intervention}/ratio={ratio}/seed={seed}"
ARM = f"{ROOT}/arms/{POINT}"
IMPORTED = f"{ROOT}/imported/{POINT}"
SERVED = f"{ROOT}/served/{POINT}"
CELL = "base={base}.intervention={intervention}.ratio={ratio}.seed={seed}"
STAGE = f"{ROOT}/stages/stage={{stage}}"
TRIGGERS = list(GRID.config.triggers)
TABLES = [
    "answers.parquet",
    "rates.csv",
    "seeds.csv",
    "contrasts.csv",
    "verdicts.csv",
    "robustness.csv",
    "dose.csv",
    "similarity.csv",
    "repeats.csv",
    "likelihood.csv",
    "arms.csv",
    "judgements.csv",
    "judges.csv",
    "calibration.csv",
    "judge_errors.csv",
    "agreement.csv",
    "preflight.csv",
]
DRAWN = figure_names(GRID)


wildcard_constraints:
    base="[^/]+",
    intervention="[^/]+",
    ratio="[^/]+",
    seed="[0-9]+",
    stage="[^/]+",
    dataset="[^/]+",
    drawn="[^/]+",
    generated="[^/]+",
    figure="|".join(FIGURES),
    file="[^/]+",
    place="arms|imported|served",


def of_arms(file, arms=GRID.arms):
    """A file of every arm, and of every trigger where its name has that wildcard."""
    folders = [f"{ROOT}/{arm.folder}" for arm in arms]
    return expand(f"{{folder}}/{file}", folder=folders, trigger=TRIGGERS)


def below_root(files):
    return [f"{ROOT}/{file}" for file in files]


def of_stages(file):
    return below_root(f"{stage.folder}/{file}" for stage in GRID.stages.values())


def read_by_figure(wildcards):
    tables = [f"{ROOT}/tables/{table}" for table in FIGURES[wildcards.figure]]
    return tables + (of_stages("loss.csv") if wildcards.figure == "loss" else [])


def of_triggers(file, arm=ARM):
    return expand(f"{arm}/{file}", trigger=TRIGGERS, allow_missing=True)


def model_json(base):
    return f"{ROOT}/assets/models/{base}/model.json"


def model_of_stage(wildcards):
    return model_json(GRID.stages[wildcards.stage].base)


def datasets_of_stage(wildcards):
    return below_root(GRID.row_files(wildcards.stage))


def rows_of(dataset):
    return f"{ROOT}/{GRID.row_file(dataset)}" if dataset else []


def drawn_file(drawn):
    return f"{ROOT}/{drawn.file}" if drawn else []


def parent_adapter(wildcards):
    parent = GRID.stages[wildcards.stage].parent
    return f"{ROOT}/{GRID.stages[parent].adapter}" if parent else []


def served_arm(wildcards):
    return GRID.arm(**wildcards, place="served")


def option(name, path):
    """A command-line option that a job need not have."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def adapter_option(name, adapter):
    return option(name, Path(adapter).parent if adapter else None)


def folder_above(levels):
    """A param: the folder so many levels above a job's first output."""
    return lambda wildcards, output: str(Path(output[0]).parents[levels - 1])


def arms_of_output(wildcards, output):
    """A param: the folders of the arms that a job writes files of."""
    return list(dict.fromkeys(str(Path(file).parents[1]) for file in output))


def want(stage):
    """What one job of a stage may use, as the config says."""
    return GRID.config.stage_resources(stage)


def judge_files_of(generated):
    return specs.judge_files(GRID, GRID.keep_judges(generated))["heads"]


def judge_models_of(generated):
    return specs.judge_files(GRID, GRID.keep_judges(generated))["models"]
