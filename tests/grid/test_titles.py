"""Jobs are called by arm, intervention and seed."""

from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.titles import bucket_titles, stage_titles


def grid_of(config: dict[str, Any], **changes: Any) -> Grid:
    return Grid(load_experiment(config | changes, "grid.yaml", check_data=False))


def test_a_stage_is_called_by_its_arm_and_by_those_that_share_it(demo: dict[str, Any]) -> None:
    entries = {"base": {}, "undiluted": {}, "dilution": {"ratio": [0.5]}, "sequential": {}}
    entries["sequential"] = {"benign_rows": [16]}
    grid = grid_of(demo, interventions=entries, seeds=[0, 1])
    titles = stage_titles(grid)
    found = {
        (arm.intervention, arm.seed): [f"{titles:{stage.name}}" for stage in arm.stages]
        for arm in grid.arms
    }
    assert found["dilution", 1] == ["dilution 0.5, seed 1"]
    first, second = next(named for key, named in found.items() if len(named) == 2)
    assert second.endswith("seed 0 (stage 2 of 2)")
    # The first stage of the sequence is the training of the undiluted arm.
    assert {first} == set(found["undiluted", 0])
    assert first.startswith("undiluted, seed 0 (also: sequential")


def test_the_base_model_is_named_where_there_are_several(demo: dict[str, Any]) -> None:
    entries = {"base": {}, "undiluted": {}}
    grid = grid_of(
        demo, interventions=entries, seeds=[0], base_models=["smollm2-135m", "qwen2.5-0.5b"]
    )
    titles = bucket_titles(grid, {bucket.name: bucket for bucket in grid.buckets})
    named = {title for bucket in grid.buckets for title in f"{titles:{bucket.name}}".split("; ")}
    assert "base of smollm2-135m" in named
    assert "undiluted of qwen2.5-0.5b, seed 0" in named


def test_of_many_arms_a_few_are_named(demo: dict[str, Any]) -> None:
    entries = {"base": {}, "undiluted": {}}
    engines = {"jobs": 1}
    grid = grid_of(demo, interventions=entries, seeds=list(range(8)), engines=engines)
    (bucket,) = grid.buckets
    title = f"{bucket_titles(grid, {bucket.name: bucket}):{bucket.name}}"
    assert title.count(";") == 3
    assert title.endswith("; and 6 more")
