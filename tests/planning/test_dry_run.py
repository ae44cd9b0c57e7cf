"""Why a stage took the place of another: the setting that changed."""

import copy
import json
from typing import Any

import pytest
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.data import mix_spec
from emgrid.grid.specs.train import train_spec
from emgrid.planning.dry_run import ANSWER_TABLE, Job, replaced_stages, with_changed_settings
from emgrid.planning.spec_diff import Change


def grid_of(config: dict[str, Any], **changes: Any) -> Grid:
    return Grid(load_experiment(copy.deepcopy(config) | changes, "grid.yaml", check_data=False))


def records_of(grid: Grid) -> dict[str, Any]:
    """The specs on record after a run of a grid."""
    specs = {ANSWER_TABLE: json.loads(aggregate_spec(grid))}
    for name, stage in grid.stages.items():
        specs[f"{stage.folder}/adapter/adapter_model.safetensors"] = json.loads(
            train_spec(grid, name)
        )
        specs[f"{stage.folder}/train.jsonl"] = json.loads(mix_spec(grid, name))
    return specs


def test_stages_of_equal_settings_replace_nothing(demo: dict[str, Any]) -> None:
    assert replaced_stages(grid_of(demo), records_of(grid_of(demo)).get) == {}
    assert replaced_stages(grid_of(demo), {}.get) == {}
    assert replaced_stages(grid_of(demo, seeds=[0, 1, 2]), records_of(grid_of(demo)).get) == {}


@pytest.mark.parametrize(
    ("section", "setting", "value", "change"),
    [
        ("training", "learning_rate", 1e-3, Change("training.learning_rate", "0.002", "0.001")),
        ("data", "rows", 40, Change("stage.rows", "96", "40")),
    ],
)
def test_a_stage_is_described_by_the_setting_that_changed(
    demo: dict[str, Any], section: str, setting: str, value: Any, change: Change
) -> None:
    edited = grid_of(demo, **{section: demo[section] | {setting: value}})
    changes_of = replaced_stages(edited, records_of(grid_of(demo)).get)
    assert set(changes_of) <= set(edited.stages)
    assert all(change in changes for changes in changes_of.values())
    if section == "training":
        assert all(changes == (change,) for changes in changes_of.values())
        assert set(changes_of) == set(edited.stages)


def test_a_job_is_described_by_settings_not_by_files() -> None:
    change = Change("training.rank", "16", "8")
    job = Job(
        "sample",
        "bucket",
        "jobs/sample/bucket.json",
        changed=(
            Change("arms.adapter", "stages/stage=old/adapter", "stages/stage=new/adapter", "a"),
            Change("arms.sampling.top_p", "1.0", "0.9", "a"),
        ),
        added=("stages/stage=new/adapter.json", "assets/models/b/model.json"),
        dropped=("stages/stage=old/adapter.json",),
    )
    explained = with_changed_settings(job, {"new": (change,), "another": (change,)})
    assert explained.changed == (change, Change("arms.sampling.top_p", "1.0", "0.9", "a"))
    assert explained.added == ("assets/models/b/model.json",)
    assert explained.dropped == ()
    assert with_changed_settings(job, {"another": (change,)}) == job
    assert with_changed_settings(
        Job("train", "new", "x", missing=("x",)), {"new": (change,)}
    ).changed == (change,)
