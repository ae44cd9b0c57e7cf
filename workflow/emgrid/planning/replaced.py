"""Stages that took the place of others.

A stage is named by its own spec, so an edited setting makes another stage. What is told of it is
the setting that changed, not the names of files.
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
Recorded = Callable[[str], Any]  # the spec on record of what a file was made of, None without one


def replaced(grid: Grid, recorded: Recorded) -> dict[str, Changes]:
    """For each stage that took the place of another in an arm: what lies between the two."""
    table = recorded(TABLE)
    if not isinstance(table, dict):
        return {}
    before = {arm["folder"]: arm["stages"] for arm in table["arms"]}
    found: dict[str, Changes] = {}
    for arm in grid.arms:
        for stage, old in zip(arm.stages, before.get(arm.folder, ()), strict=False):
            if stage.name != old and stage.name not in found:
                found[stage.name] = between(grid, stage.name, old, recorded)
    return {name: told for name, told in found.items() if told}


def between(grid: Grid, new: str, old: str, recorded: Recorded) -> Changes:
    """What differs between a stage's settings and rows and those of one on record."""
    trained = recorded(layout.stage_file(old, f"{layout.ADAPTER}/{layout.WEIGHTS}"))
    mixed = recorded(layout.stage_file(old, layout.TRAINING_ROWS))
    if trained is None or mixed is None:
        return ()
    rows = changes(mixed, json.loads(mix_spec(grid, new)))
    # Mixing does not depend on them, but they stand in its spec.
    rows = [one for one in rows if not one.place.startswith("stage.training")]
    return (*changes(trained, json.loads(train_spec(grid, new))), *rows)


def retold(job: Any, stages: Mapping[str, Changes]) -> Any:
    """A job with the settings that changed in place of the names of stages."""
    own = [job.name] if job.rule in OF_STAGES else []
    taken = [
        name
        for name in stages
        if any(f"{layout.stage_folder(name)}/" in file for file in job.added)
    ]
    names = [name for name in [*own, *taken] if name in stages]
    if not names:
        return job
    settings = dict.fromkeys(one for name in names for one in stages[name])
    rest = [one for one in job.changed if not is_of_stages(one)]
    return dataclasses.replace(
        job,
        changed=(*settings, *rest),
        added=tuple(file for file in job.added if not file.startswith(FOLDER)),
        dropped=tuple(file for file in job.dropped if not file.startswith(FOLDER)),
    )


def is_of_stages(change: Change) -> bool:
    """Whether a change only says which stages there are."""
    values = [value for value in (change.old, change.new) if value != MISSING]
    named = change.place.rsplit(".", 1)[-1] in ("adapter", "stages")
    return named or any(value.startswith(FOLDER) for value in values)
