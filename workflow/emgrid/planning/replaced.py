"""Stages that replaced others.

A stage is named after a hash of its spec, so an edited setting gives a stage another name. The
reasons of its jobs name the setting that changed instead of the names of files.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.specs.data import mix_spec
from emgrid.grid.specs.train import train_spec
from emgrid.planning.spec_diff import MISSING, Change, changes
from emgrid.runtime import layout

TABLE = layout.ANSWER_TABLE  # whose record lists every arm with its stages
FOLDER = layout.stage_folder("")
OF_STAGES = ("mix", "preflight", "train")
Changes = tuple[Change, ...]
Recorded = Callable[[str], Any]  # the recorded spec of the job that made a file, if any


def replaced(grid: Grid, recorded: Recorded) -> dict[str, Changes]:
    """For each stage that replaced another in an arm: the changes between the two."""
    table = recorded(TABLE)
    if not isinstance(table, dict):
        return {}
    before = {arm["folder"]: arm["stages"] for arm in table["arms"]}
    by_stage: dict[str, Changes] = {}
    for arm in grid.arms:
        for stage, old in zip(arm.stages, before.get(arm.folder, ()), strict=False):
            if stage.name != old and stage.name not in by_stage:
                by_stage[stage.name] = between(grid, stage.name, old, recorded)
    return {name: stage_changes for name, stage_changes in by_stage.items() if stage_changes}


def between(grid: Grid, new: str, old: str, recorded: Recorded) -> Changes:
    """The changes of settings and rows between a recorded stage and a new one."""
    trained = recorded(f"{FOLDER}{old}/adapter/adapter_model.safetensors")
    mixed = recorded(f"{FOLDER}{old}/train.jsonl")
    if trained is None or mixed is None:
        return ()
    rows = changes(mixed, json.loads(mix_spec(grid, new)))
    # Mixing does not depend on them, but they stand in its spec.
    rows = [one for one in rows if not one.place.startswith("stage.training")]
    return (*changes(trained, json.loads(train_spec(grid, new))), *rows)


def retold(job: Any, stages: Mapping[str, Changes]) -> Any:
    """A job that names the settings that changed instead of names of stages."""
    own = [job.name] if job.rule in OF_STAGES else []
    new_inputs = [name for name in stages if any(f"{FOLDER}{name}/" in file for file in job.added)]
    names = [name for name in [*own, *new_inputs] if name in stages]
    if not names:
        return job
    settings = dict.fromkeys(change for name in names for change in stages[name])
    rest = [change for change in job.changed if not is_of_stages(change)]
    return dataclasses.replace(
        job,
        changed=(*settings, *rest),
        added=tuple(file for file in job.added if not file.startswith(FOLDER)),
        dropped=tuple(file for file in job.dropped if not file.startswith(FOLDER)),
    )


def is_of_stages(change: Change) -> bool:
    """Whether a change only concerns the names of stages."""
    values = [value for value in (change.old, change.new) if value != MISSING]
    named = change.place.rsplit(".", 1)[-1] in ("adapter", "stages")
    return named or any(value.startswith(FOLDER) for value in values)
