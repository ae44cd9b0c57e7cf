"""Which jobs a run would start, and why: Snakemake's own decision, from a dry run in this process.

The graph of jobs is built as by `snakemake -n`, with the settings of the workstation profile that
affect it. The earlier parameters of a job are read from Snakemake's metadata.

A stage is named after a hash of its spec, so an edited setting gives a stage another name. The
reasons of its jobs name the setting that changed instead of the names of files.
"""

import ast
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.config.yaml_files import read_yaml
from emgrid.grid.grid import Grid
from emgrid.grid.specs.data import mix_spec
from emgrid.grid.specs.train import train_spec
from emgrid.planning.spec_diff import MISSING, Change, changes
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError

PROFILE = ROOT / "workflow/profiles/workstation/config.yaml"
# The table whose manifest lists every arm with its stages.
ANSWER_TABLE = layout.ANSWER_TABLE
STAGE_FOLDER = layout.stage_folder("")
RULES_OF_STAGES = ("mix", "preflight", "train")
Changes = tuple[Change, ...]
Recorded = Callable[[str], Any]  # the recorded spec of the job that made a file, if any


@dataclass(frozen=True)
class Job:
    """A job that would run, with the reasons.

    name: its wildcards. changed: changes of its spec. version: its code version, before and now.
    missing: outputs that do not exist; stopped: the last run did not end. renewed: inputs that are
    newer than the outputs. added, dropped: inputs that it did not have before, or no longer has.
    follows: rules of jobs that would make its inputs first. recorded: Snakemake has metadata on its
    outputs.
    """

    rule: str
    name: str
    output: str
    changed: tuple[Change, ...] = ()
    version: tuple[str, str] | None = None
    missing: tuple[str, ...] = ()
    stopped: bool = False
    renewed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    recorded: bool = False


@dataclass(frozen=True)
class Needed:
    """jobs: those that would run, in the order of the graph. total: number of all jobs, by rule."""

    grid: Grid
    jobs: list[Job]
    total: dict[str, int]


def needed(configfile: Path, folder: Path) -> Needed:
    """The jobs that `snakemake -n` would start in a folder. Changes the working directory to the
    grid's folder."""
    os.chdir(folder)
    workflow = planned(configfile)
    dag = workflow.dag
    jobs_with_output = [
        job for level in dag.toposorted() for job in sorted(level, key=str) if job.output
    ]
    grid, records = workflow.globals["GRID"], dag.workflow.persistence

    def recorded(file: str) -> Any:
        record = records._read_record(file)
        return None if record is None else split(set(record.params))[0]

    jobs = [read_job(dag, job) for job in jobs_with_output if dag.needrun(job)]
    if jobs:
        stages = replaced_stages(grid, recorded)
        jobs = [with_changed_settings(job, stages) for job in jobs]
    total = Counter(str(job.rule.name) for job in dag.jobs)
    return Needed(grid, jobs, dict(sorted(total.items())))


def planned(configfile: Path) -> Any:
    """Run Snakemake dry; return its workflow."""
    # The graph lives as long as this process; collecting garbage in it takes a third of the time.
    gc.disable()
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types as settings

    profile = read_yaml(PROFILE)
    # With exactly these two quiet, Snakemake stops before it prints the jobs.
    quiet = {settings.Quietness.RULES, settings.Quietness.PROGRESS}
    output = settings.OutputSettings(
        dryrun=True, quiet=quiet, log_level_override=logging.ERROR, enable_file_logging=False
    )
    triggers = [settings.RerunTrigger.parse_choice(name) for name in profile["rerun-triggers"]]
    with SnakemakeApi(output) as api:
        try:
            workflow = api.workflow(
                resource_settings=settings.ResourceSettings(cores=1),
                config_settings=settings.ConfigSettings(configfiles=[configfile.absolute()]),
                snakefile=ROOT / "Snakefile",
            )
            graph = workflow.dag(
                settings.DAGSettings(
                    rerun_triggers=frozenset(triggers),
                    force_incomplete=profile["rerun-incomplete"],
                    max_checksum_file_size=profile["max-checksum-file-size"],
                )
            )
            graph.execute_workflow(executor="dryrun")
        except Exception as problem:
            api.print_exception(problem)
            raise EmgridError(f"{configfile}: Snakemake cannot plan this grid") from None
        return workflow._workflow


def read_job(graph: Any, job: Any) -> Job:
    """One job with Snakemake's reasons, and the changes since its metadata was written."""
    reason = graph.reason(job)
    records = graph.workflow.persistence
    output = job.output[0]
    recorded_inputs = records.input(output)
    recorded = records.params(output)
    inputs_to_come = {str(file) for file in reason.updated_input_run}
    follows = {
        str(other.rule.name)
        for other, files in graph.dependencies[job].items()
        if inputs_to_come & set(map(str, files)) or not recorded
        if graph.needrun(other)
    }
    changed: tuple[Change, ...] = ()
    version = None
    added: set[str] = set()
    dropped: set[str] = set()
    if recorded is not None:
        changed, version = compare(recorded, records._params(job))
    if recorded_inputs is not None:
        now = set(map(str, records._input(job)))
        before = set(map(str, recorded_inputs))
        added, dropped = now - before, before - now
    return Job(
        rule=str(job.rule.name),
        name=" ".join(map(str, job.wildcards)),
        output=str(output),
        changed=changed,
        version=version,
        missing=tuple(sorted(map(str, reason.missing_output))),
        stopped=bool(reason.forced or reason.incomplete_output),
        renewed=tuple(sorted({str(file) for file in reason.updated_input} - inputs_to_come)),
        added=tuple(sorted(added)),
        dropped=tuple(sorted(dropped)),
        follows=tuple(sorted(follows)),
        recorded=recorded is not None,
    )


def compare(old: list[Any], new: list[Any]) -> tuple[tuple[Change, ...], tuple[str, str] | None]:
    """The differences between two recorded sets of params: changes of the spec, and the versions.

    Snakemake stores params without their names. The spec is the one that is JSON. If exactly one
    other param has changed, it is the code version, since file names follow from the spec.
    """
    before, after = split(set(old)), split(set(new))
    differences = changes(before[0], after[0]) if before[0] != after[0] else []
    removed, added = before[1] - after[1], after[1] - before[1]
    if len(removed) == len(added) == 1:
        return tuple(differences), (removed.pop(), added.pop())
    if removed or added:
        differences.append(Change("params", ", ".join(sorted(removed)), ", ".join(sorted(added))))
    return tuple(differences), None


def split(params: set[Any]) -> tuple[Any, set[str]]:
    """The spec among a job's recorded params, and the other params."""
    spec = None
    others = set()
    for text in params:
        value = ast.literal_eval(text)
        if isinstance(value, str) and value[:1] in ("{", "["):
            spec = json.loads(value)
        else:
            others.add(str(value))
    return spec, others


def replaced_stages(grid: Grid, recorded: Recorded) -> dict[str, Changes]:
    """For each stage that replaced another in an arm: the changes between the two."""
    table = recorded(ANSWER_TABLE)
    if not isinstance(table, dict):
        return {}
    before = {arm["folder"]: arm["stages"] for arm in table["arms"]}
    by_stage: dict[str, Changes] = {}
    for arm in grid.arms:
        for stage, old in zip(arm.stages, before.get(arm.folder, ()), strict=False):
            if stage.name != old and stage.name not in by_stage:
                by_stage[stage.name] = changes_between(grid, stage.name, old, recorded)
    return {name: stage_changes for name, stage_changes in by_stage.items() if stage_changes}


def changes_between(grid: Grid, new: str, old: str, recorded: Recorded) -> Changes:
    """The changes of settings and rows between a recorded stage and a new one."""
    trained = recorded(f"{STAGE_FOLDER}{old}/adapter/adapter_model.safetensors")
    mixed = recorded(f"{STAGE_FOLDER}{old}/train.jsonl")
    if trained is None or mixed is None:
        return ()
    rows = changes(mixed, json.loads(mix_spec(grid, new)))
    # The spec of mixing holds the training settings, but mixing does not depend on them.
    rows = [change for change in rows if not change.place.startswith("stage.training")]
    return (*changes(trained, json.loads(train_spec(grid, new))), *rows)


def with_changed_settings(job: Job, stages: Mapping[str, Changes]) -> Job:
    """A job that names the settings that changed instead of names of stages."""
    own_stage = [job.name] if job.rule in RULES_OF_STAGES else []
    new_inputs = [
        name for name in stages if any(f"{STAGE_FOLDER}{name}/" in file for file in job.added)
    ]
    names = [name for name in [*own_stage, *new_inputs] if name in stages]
    if not names:
        return job
    settings = dict.fromkeys(change for name in names for change in stages[name])
    rest = [change for change in job.changed if not names_stages_only(change)]
    return replace(
        job,
        changed=(*settings, *rest),
        added=tuple(file for file in job.added if not file.startswith(STAGE_FOLDER)),
        dropped=tuple(file for file in job.dropped if not file.startswith(STAGE_FOLDER)),
    )


def names_stages_only(change: Change) -> bool:
    """Whether a change is one of the names of stages alone."""
    values = [value for value in (change.old, change.new) if value != MISSING]
    named = change.place.rsplit(".", 1)[-1] in ("adapter", "stages")
    return named or any(value.startswith(STAGE_FOLDER) for value in values)
