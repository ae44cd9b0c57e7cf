# The grid of this config, and what the rules look up in it. Paths are below the grid's own folder,
# results/<name>/, where Snakemake works.
import shlex
import time
from functools import partial
from pathlib import Path

from emgrid.data import convert, generate, mix, preflight, qualify
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import job_record
from emgrid.grid.snakefile import begin, start
from emgrid.grid.specs import judge as judge_specs
from emgrid.grid.specs import train as train_specs
from emgrid.judge import judge
from emgrid.report import FIGURES
from emgrid.runtime import slurm
from emgrid.runtime.code_version import code_version
from emgrid.runtime.files import canonical
from emgrid.sample import answers, likelihood, served
from emgrid.train import train

BEGUN = time.time()
GRID = start(config, workflow.configfiles)
POINT = "base={base}/intervention={intervention}/ratio={ratio}/seed={seed}"
IMPORTED = f"imported/{POINT}"
SERVED = f"served/{POINT}"
CELL = "base={base}.intervention={intervention}.ratio={ratio}.seed={seed}"
STAGE = "stages/stage={stage}"
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
    bucket="[^/]+",
    drawn="[^/]+",
    generated="[^/]+",
    figure="|".join(FIGURES),
    file="[^/]+",
    place="arms|imported|served",


# The specs of jobs for many arms are handed over as files, written when a run begins.
HANDED = {}


def handed(name, make):
    """The file of a job's spec. make: gives the spec."""
    HANDED[f"specs/{name}.json"] = make
    return f"specs/{name}.json"


def answers_of(arms):
    """The records of the jobs that write these arms' answers."""
    return list(dict.fromkeys(GRID.answer_records[arm.folder] for arm in arms))


def of_buckets(stage, buckets):
    return [job_record(stage, bucket.name) for bucket in buckets]


def of_stages(file):
    return [f"{stage.folder}/{file}" for stage in GRID.stages.values()]


def read_by_figure(wildcards):
    tables = [f"tables/{table}" for table in FIGURES[wildcards.figure]]
    return tables + (of_stages("loss.csv") if wildcards.figure == "loss" else [])


def model_json(base):
    return f"assets/models/{base}/model.json"


def model_of_stage(wildcards):
    return model_json(GRID.stages[wildcards.stage].base)


def datasets_of_stage(wildcards):
    return GRID.row_files(wildcards.stage)


def rows_of(dataset):
    return GRID.row_file(dataset) if dataset else []


def drawn_file(drawn):
    return drawn.file if drawn else []


def fetched_file(dataset):
    """Where a data set is fetched to; of a user's own, the spec holds the content."""
    return [] if GRID.own_file(dataset) else f"assets/sources/{dataset}.jsonl"


def source_of(own, fetched):
    """The option that names a job's source, wherever it lies."""
    return option("source", own or fetched)


def fetched_import(arm):
    return [] if GRID.own_import(arm) else f"assets/imports/{arm.source.key}"


def imported_arm(wildcards):
    return GRID.arm(**wildcards, place="imported")


def parent_record(wildcards):
    parent = GRID.stages[wildcards.stage].parent
    return GRID.stages[parent].adapter_record if parent else []


def parent_folder(wildcards):
    parent = GRID.stages[wildcards.stage].parent
    return GRID.stages[parent].adapter_folder if parent else None


def served_arm(wildcards):
    return GRID.arm(**wildcards, place="served")


def option(name, path):
    """A command-line option that a job need not have."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def options(name, values):
    """A command-line option with several values, which a job need not have."""
    return f"--{name} {shlex.join(values)}" if values else ""


def folder_above(levels):
    """A param: the folder so many levels above a job's first output."""
    return lambda wildcards, output: str(Path(output[0]).parents[levels - 1])


def want(rule):
    """What one job of a rule may use, as the config says."""
    return GRID.config.resources_of(rule)


def memory(rule):
    """A resource: the memory of a rule's job, which grows with each attempt."""
    return lambda wildcards, attempt: want(rule).mem_mb * attempt


def minutes(rule):
    """A resource: the time limit of a rule's job, which grows with each attempt."""
    return lambda wildcards, attempt: want(rule).runtime * attempt


def judge_models(names=None):
    """Records of the base models that the panel, or the named judges, judge with."""
    return [model_json(name) for name in judge_specs.judge_models(GRID, names)]


# Executed when a run begins, not by a dry run, nor by the jobs themselves.
onstart:
    begin(GRID, {file: make() for file, make in HANDED.items()})


onerror:
    slurm.tell_ended(BEGUN)
