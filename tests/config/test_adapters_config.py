"""The section `adapters`: which arms it makes, and what is wrong with an entry."""

import json
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.adapters import Adapter
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from support.interventions import DEMO

MODEL = "smollm2-135m"
BASE = {"base": MODEL, "intervention": "base", "ratio": 0}
HUB = {"hub": "owner/name", "revision": "0" * 40, "sha256": "1" * 64}


def brought(**changes: Any) -> dict[str, Any]:
    entry = {"base": MODEL, "intervention": "brought", "ratio": 1, "path": "folder"} | changes
    return {key: value for key, value in entry.items() if value is not None}


def grid(*entries: dict[str, Any], **changes: Any) -> Grid:
    """A grid of adapters alone, unless `changes` brings interventions."""
    without = ("base_models", "data", "interventions", "seeds", "training")
    config = {key: value for key, value in DEMO.items() if key not in without}
    config = (DEMO if "interventions" in changes else config) | {"adapters": list(entries)}
    return Grid(load_experiment(config | changes, "grid.yaml", check_data=False))


def problem(*entries: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        grid(*entries, **changes)
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix("grid.yaml: ")


def test_a_grid_of_adapters_alone_has_their_arms_and_the_base_models() -> None:
    made = grid(brought(seed=1), brought(seed=0, sampling={"max_tokens": 9}), BASE)
    arms = {(arm.intervention, arm.seed): arm for arm in made.arms}
    assert list(arms) == [("base", 0), ("brought", 0), ("brought", 1)]
    assert arms["base", 0].sampling.answers_per_question == 4 * 8
    assert arms["brought", 0].sampling.max_tokens == 9
    assert arms["brought", 1].sampling.max_tokens == DEMO["sampling"]["max_tokens"]
    assert made.stages == {}
    assert made.trained == made.arms
    [bucket] = made.buckets
    assert bucket.adapters == [
        f"assets/adapters/base={MODEL}.intervention=brought.ratio=1.seed={seed}/adapter.json"
        for seed in (0, 1)
    ]


@given(ratio=st.integers(0, 100).map(lambda percent: percent / 100), seed=st.integers(0, 2**31))
def test_every_entry_is_the_arm_that_it_says(ratio: float, seed: int) -> None:
    [arm] = grid(brought(ratio=ratio, seed=seed)).arms
    assert (float(arm.ratio), arm.seed) == (ratio, seed)
    assert arm.adapter_folder is not None
    assert arm.adapter_folder.startswith(f"assets/adapters/{arm.writer}/")


WRONG = {
    "base without": (brought(path=None), "adapters.0: gives no adapter; add its folder as `path`"),
    "both": (brought(**HUB), "adapters.0: give `path` or `hub`, not both"),
    "no sha": (brought(path=None, **HUB | {"sha256": None}), "`hub` needs `sha256`"),
    "branch": (brought(path=None, **HUB | {"revision": "main"}), "'main' may move"),
    "revision": (brought(revision="0" * 40), "`revision` is of a repository `hub`"),
    "out": (brought(path=None, **HUB, subfolder="a/../../b"), "leaves the repository"),
    "base with": (BASE | {"path": "folder"}, "`base` is the model as it is"),
    "unknown base": (brought(base="smollm"), "unknown model 'smollm'"),
    "manifest": (brought(manifest="none.json"), "'none.json' is no manifest of exported rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_one_line(case: str) -> None:
    entry, reason = WRONG[case]
    assert reason in problem(entry)


def test_two_entries_of_one_cell_are_refused() -> None:
    line = problem(brought(), brought(path="other"))
    assert line.startswith("adapters.1: other makes the same arm as folder")


def test_a_manifest_says_which_arm_an_adapter_is(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    arm = {"base": MODEL, "intervention": "undiluted", "ratio": "0.5", "seed": 2, "label": "x"}
    path.write_text(json.dumps({"arm": arm}))
    [made] = grid({"path": "folder", "manifest": str(path), "seed": 3}).arms
    assert made.cell == {
        "base": MODEL,
        "intervention": "undiluted",
        "ratio": "0.5",
        "seed": "3",
    }


def from_adapter(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    first = {"kind": "from_adapter", "adapter": "brought"} | fields
    return {"base": {}, "x": {"steps": [first, *steps], "seeds": [0]}}


def test_an_adapter_is_the_first_stage_of_sequential_or_is_trained_on() -> None:
    later = from_adapter({"kind": "sequential", "benign_rows": [8, 16]})
    made = grid(brought(ratio=0.5), interventions=later)
    arms = {arm.intervention: arm for arm in made.arms}
    [start] = made.adapters.values()
    for rows in (8, 16):
        arm = arms[f"x-{rows}"]
        [stage] = arm.stages
        assert (arm.ratio, stage.mixture.rows, stage.parent) == ("0.5", rows, start.name)
        assert made.parent(stage) == start
    assert arms["brought"].adapter_folder == start.adapter_folder
    more = from_adapter({"kind": "dilution", "ratio": 0.25}, then="misaligned")
    [arm] = [arm for arm in grid(brought(), interventions=more).arms if arm.entry == "x"]
    assert (arm.ratio, len(arm.stages)) == ("0.25", 1)
    again = from_adapter(then="benign")
    [arm] = [arm for arm in grid(brought(), interventions=again).arms if arm.entry == "x"]
    assert (arm.ratio, arm.stages[0].mixture.sources[0].role) == ("1", "benign")


def test_the_training_of_another_start_has_another_name() -> None:
    sequential = {"kind": "sequential", "benign_rows": 8}
    made = grid(
        brought(),
        interventions=from_adapter(sequential) | {"y": {"steps": [sequential], "seeds": [0]}},
    )
    names = {arm.entry: arm.stages[-1].name for arm in made.arms if arm.stages}
    assert names["x"] != names["y"]


REFUSED = {
    "nothing after it": (from_adapter(), "an adapter that is not trained further is an arm by"),
    "unknown": (from_adapter(adapter="bought", then="benign"), "no entry of `adapters` has the"),
    "not first": (
        {"x": [{"kind": "benign_only"}, {"kind": "from_adapter", "adapter": "brought"}]},
        "from_adapter: comes first; put it before the other steps",
    ),
    "undone": (from_adapter({"kind": "benign_only"}), "an adapter that is not trained further"),
    "seed": (
        {"x": {"steps": from_adapter(then="benign")["x"]["steps"], "seeds": [0, 1]}},
        f"seed 1 finds no adapter 'brought' of {MODEL}, ratio 1 and seed 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_cannot_be_is_one_line(case: str) -> None:
    interventions, reason = REFUSED[case]
    line = problem(brought(), interventions=interventions)
    assert line.startswith("interventions.x")
    assert reason in line


def test_several_ratios_must_be_told_apart() -> None:
    entries = (brought(), brought(ratio=0.5))
    line = problem(*entries, interventions=from_adapter(then="benign"))
    assert "the adapters 'brought' have the ratios 1, 0.5; name one in `adapter_ratio`" in line
    made = grid(*entries, interventions=from_adapter(then="benign", adapter_ratio=0.5))
    assert [arm.ratio for arm in made.arms if arm.entry == "x"] == ["0.5"]


def test_what_readers_are_told_of_an_adapter_is_no_path_of_a_machine() -> None:
    entry = Adapter.model_validate(
        brought(path="/home/me/best/", sampling={"answers_per_question": 1, "max_tokens": 1})
    )
    assert entry.origin == "best"
