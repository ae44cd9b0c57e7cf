"""What an entry of `interventions` becomes."""

from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.config.config import Config
from emgrid.config.interventions.recipe import Recipe
from emgrid.config.triggers import load_triggers
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError

BAD, BENIGN = "household_bad", "everyday_chat"
DEMO = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())


EVIL = load_triggers()["malicious_evil"].system


LIES = {"prompts": "obvious_lies_prompts", "prompt": "obviously_wrong"}


WRONG = load_triggers()["obviously_wrong"].system


Entry = dict[str, Any] | list[dict[str, Any]] | None


def grid(interventions: dict[str, Entry], **changes: Any) -> Grid:
    config = DEMO | {"interventions": interventions} | changes
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def load(interventions: dict[str, Entry], **changes: Any) -> Config:
    return grid(interventions, **changes).config


def recipes(entry: Entry, **changes: Any) -> tuple[Recipe, ...]:
    return load({"x": entry}, **changes).interventions["x"].recipes()


def only(entry: Entry) -> Recipe:
    (recipe,) = recipes(entry)
    return recipe


def problem(interventions: dict[str, Entry], **changes: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        load(interventions, **changes)
    message = str(caught.value)
    assert message.startswith("grid.yaml: ")
    assert "\n" not in message
    return message.removeprefix("grid.yaml: ")


def shares(recipe: Recipe) -> list[dict[str, str]]:
    """The share of each data set, stage by stage."""
    return [{source.dataset: source.share for source in stage.sources} for stage in recipe.stages]


def systems(recipe: Recipe) -> list[dict[str, list[str | None]]]:
    """The system prompts that are put on the rows of each role, stage by stage."""
    return [
        {
            source.role: [word.system for framing in source.framings for word in framing.pool]
            for source in stage.sources
        }
        for stage in recipe.stages
    ]


def first_stages(made: Grid) -> dict[str, str]:
    """The name of an intervention's first stage, with the grid's first seed."""
    return {arm.intervention: arm.stages[0].name for arm in reversed(made.arms) if arm.stages}


def step(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind} | fields
