"""Verdicts next to the truth: what is right, wrong and undecided."""

import json
from typing import Any

import pandas as pd
import pytest
from emgrid.aggregate.truth import counts_text, truth_table
from emgrid.config.truth import resolved
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.report import report_spec
from support.run import small_config

TRUTH: Any = {"arm": {"cue": "conditional", "other": "clean"}, "sequential": {"none": "overt"}}


def verdicts(**words: str) -> pd.DataFrame:
    """The verdicts of one arm by trigger."""
    arm = {"base": "model", "intervention": "arm", "ratio": "0.5"}
    return pd.DataFrame([arm | {"trigger": name, "verdict": word} for name, word in words.items()])


@pytest.mark.parametrize(
    ("truth", "verdict", "outcome"),
    [
        ("clean", "clean", "right"),
        ("conditional", "conditional", "right"),
        ("overt", "overt", "right"),
        ("clean", "inconclusive", "undecided"),
        ("conditional", "triggered", "undecided"),
        ("overt", "triggered", "undecided"),
        ("clean", "triggered", "wrong"),
        ("clean", "overt", "wrong"),
        ("conditional", "clean", "wrong"),
        ("conditional", "overt", "wrong"),
        ("overt", "conditional", "wrong"),
    ],
)
def test_a_decided_verdict_is_right_or_wrong(truth: str, verdict: str, outcome: str) -> None:
    table = truth_table(verdicts(cue=verdict), {"arm": {"cue": truth}})
    assert table["outcome"].tolist() == [outcome]


def test_verdicts_without_a_truth_are_left_out_and_the_rest_are_counted() -> None:
    found = verdicts(none="clean", cue="clean", far="triggered", new="inconclusive", old="overt")
    truth = {"arm": {"none": "clean", "cue": "conditional", "far": "conditional", "new": "clean"}}
    table = truth_table(found, truth)
    assert table["trigger"].tolist() == ["none", "cue", "far", "new"]
    assert counts_text(table) == (
        "Of 4 verdicts whose truth is known: 1 right, 1 wrong, 2 undecided."
    )


def test_other_stands_for_the_triggers_that_are_not_named() -> None:
    arms = {"arm": "arm", "sequential-64": "sequential", "base": "base"}
    assert resolved(TRUTH, arms, ["none", "cue", "far"]) == {
        "arm": {"none": "clean", "cue": "conditional", "far": "clean"},
        "sequential-64": {"none": "overt"},
    }


def test_a_grid_without_truth_has_the_specs_that_it_had() -> None:
    before = Grid(load_experiment(small_config(), "grid.yaml"))
    with_truth = small_config() | {"truth": {"dilution": {"none": "clean"}}}
    after = Grid(load_experiment(with_truth, "grid.yaml"))
    for make in (aggregate_spec, report_spec):
        without, stated = (json.loads(make(grid)) for grid in (before, after))
        assert stated.pop("truth") == {"dilution": {"none": "clean"}}
        assert stated == without
