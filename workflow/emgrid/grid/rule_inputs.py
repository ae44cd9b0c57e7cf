"""What the rule files look up in a grid: inputs, options of commands, and resources of jobs.

Paths are relative to the grid's folder. Knows nothing of Snakemake but its wildcards.
"""

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from emgrid.config.config import Config
from emgrid.grid.arms import Arm, TrainingRun
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.grid.specs import judge
from emgrid.report import FIGURES
from emgrid.runtime import layout
from emgrid.runtime.rules import RULES

Wildcards = Any  # an object with an attribute for each wildcard of the job


class Inputs:
    """The files that the jobs of a grid read."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def answers_of(self, arms: Iterable[Arm]) -> list[str]:
        """The records of the jobs that write these arms' answers."""
        return list(dict.fromkeys(self.grid.answer_records[arm.folder] for arm in arms))

    def allocation(self, name: str) -> str | list[str]:
        """The file of the questions that a sampling job asks; nothing if it asks all."""
        return layout.allocation(name) if self.grid.rounds else []

    def of_stages(self, file: str) -> list[str]:
        """A file of every training stage."""
        return [layout.stage_file(name, file) for name in self.grid.stages]

    def tables_of_figures(self, names: Sequence[str]) -> list[str]:
        """What these figures are drawn from, each file once."""
        tables = [layout.table(table) for name in names for table in FIGURES[name]]
        losses = self.of_stages(layout.LOSS) if "loss" in names else []
        return list(dict.fromkeys(tables)) + losses

    def model_of_stage(self, wildcards: Wildcards) -> str:
        """The base model that a stage trains."""
        return layout.model_record(self.grid.stages[wildcards.stage].base)

    def datasets_of_stage(self, wildcards: Wildcards) -> list[str]:
        """The files of chat rows that a stage mixes."""
        return self.grid.row_files(wildcards.stage)

    def parent_record(self, wildcards: Wildcards) -> str | list[str]:
        """The record of the adapter that a stage continues; nothing for a first stage."""
        parent = self.grid.parent(self.grid.stages[wildcards.stage])
        return parent.adapter_record if parent else []

    def parent_folder(self, wildcards: Wildcards) -> str | None:
        """The adapter that a stage continues."""
        parent = self.grid.parent(self.grid.stages[wildcards.stage])
        return parent.adapter_folder if parent else None

    def model_of_adapter(self, wildcards: Wildcards) -> str:
        """The base model that an adapter was trained on."""
        return layout.model_record(self.grid.adapters[wildcards.adapter].entry.base)

    def needed_records(self, wildcards: Wildcards) -> list[str]:
        """The records of the other adapters that a stage needs, and the other rows."""
        run = self.grid.stages[wildcards.stage]
        others = [other for other in (run.whole, run.under) if other]
        return [other.adapter_record for other in others] + ([run.kl_rows] if run.kl_rows else [])

    def needed_options(self, wildcards: Wildcards) -> str:
        """Where a stage's training finds what else it needs."""
        run = self.grid.stages[wildcards.stage]
        options = {
            "whole": run.whole.folder if run.whole else None,
            "under": run.under.adapter_folder if run.under else None,
            "kl-rows": run.kl_rows,
        }
        return " ".join(option(name, path) for name, path in options.items())

    def adapter_of_generator(self, wildcards: Wildcards) -> str | None:
        """The adapter of the model that answers the prompts of a training set."""
        stage = self.grid.drawn[wildcards.drawn].stage
        return self.grid.stages[stage].adapter_folder if stage else None

    def record_of_generator(self, wildcards: Wildcards) -> str | list[str]:
        """The record of that adapter."""
        stage = self.grid.drawn[wildcards.drawn].stage
        return self.grid.stages[stage].adapter_record if stage else []

    def chooser(self, wildcards: Wildcards) -> TrainingRun:
        """The training whose model finds chosen rows unlikely."""
        return self.grid.stages[self.grid.selected[wildcards.selected].stage]

    def candidates_of_selection(self, wildcards: Wildcards) -> str:
        """The rows that are chosen from."""
        return self.grid.row_file(self.grid.selected[wildcards.selected].selection.dataset)

    def model_of_generator(self, wildcards: Wildcards) -> str:
        """The base model that answers the prompts of a training set."""
        return layout.model_record(self.grid.drawn[wildcards.drawn].generator)

    def prompts_of_generator(self, wildcards: Wildcards) -> str:
        """The data set whose prompts are answered."""
        return self.grid.row_file(self.grid.drawn[wildcards.drawn].generation.prompts)

    def own_answers(self, wildcards: Wildcards) -> str:
        """What the arm's own base model answered."""
        return self.grid.generated[wildcards.generated].own_answers.file

    def other_answers(self, wildcards: Wildcards) -> str | list[str]:
        """What another generator answered to the same prompts, if one is asked."""
        other = self.grid.generated[wildcards.generated].other_answers
        return other.file if other else []

    def answers_of_dataset(self, wildcards: Wildcards) -> str | list[str]:
        """The data set that answers the same prompts, if one is named."""
        dataset = self.grid.generated[wildcards.generated].generation.answers
        return self.grid.row_file(dataset) if dataset else []

    def models_of_filter(self, wildcards: Wildcards) -> list[str]:
        """The base models that judge which generated answers are trained on."""
        return self.judge_models(self.grid.keep_judges(wildcards.generated))

    def judge_models(self, names: list[str] | None = None) -> list[str]:
        """The base models that the panel, or the named judges, judge with."""
        return [layout.model_record(name) for name in judge.judge_models(self.grid, names)]

    def fetched_file(self, wildcards: Wildcards) -> str | list[str]:
        """A data set as it is fetched; the spec identifies a user's own file by its content."""
        users_file = self.grid.own_file(wildcards.dataset)
        return [] if users_file else layout.source_file(wildcards.dataset)

    def fetched_import(self, wildcards: Wildcards) -> str | list[str]:
        """The fetched file that an arm is imported from."""
        arm = self.imported_arm(wildcards)
        return layout.import_file(arm.source.key) if self.is_fetched(arm) and arm.source else []

    def is_fetched(self, arm: Arm) -> bool:
        return self.grid.own_import(arm) is None

    def imported_arm(self, wildcards: Wildcards) -> Arm:
        return self.grid.arm(**wildcards, place="imported")

    def served_arm(self, wildcards: Wildcards) -> Arm:
        return self.grid.arm(**wildcards, place="served")


def bucket_records(job: str, buckets: Iterable[Bucket]) -> list[str]:
    """The records of the jobs that work on these buckets of arms."""
    return [layout.job_record(job, bucket.name) for bucket in buckets]


def option(name: str, path: Any) -> str:
    """A command-line option that a job need not have."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def options(name: str, values: Iterable[str]) -> str:
    """A command-line option with several values, which a job need not have."""
    return f"--{name} {shlex.join(values)}" if values else ""


def folder_above(levels: int) -> Callable[[Wildcards, Any], str]:
    """A param of a rule: the folder `levels` above the job's first output."""
    return lambda wildcards, output: str(Path(output[0]).parents[levels - 1])  # noqa: ARG005


def job_resources(config: Config, rule: str) -> dict[str, Any]:
    """The resources that the config gives to a job of a rule. Memory in MB and time in minutes grow
    with each attempt: a job that ran out of either gets more when it is tried again."""
    section = config.resources_of(rule)
    resources: dict[str, Any] = {
        "mem_mb": lambda wildcards, attempt: section.mem_mb * attempt,  # noqa: ARG005
        "runtime": lambda wildcards, attempt: section.runtime * attempt,  # noqa: ARG005
    }
    return resources | ({"gpu": section.gpu, "claim": section.claim} if RULES[rule].gpu else {})
