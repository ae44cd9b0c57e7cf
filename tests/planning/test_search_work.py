"""What a search for triggers will score, draw and judge."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.cli.plan import search_table
from emgrid.config.catalogue import Experiment
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.call_costs import judge_costs
from emgrid.planning.estimates import Estimates
from emgrid.planning.search_work import search_work

SEARCHED = 8  # six organisms, benign_only and base


@pytest.fixture
def config() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "resources/grids/discovery.yaml").read_text())
    return read


def loaded(config: dict[str, Any]) -> Grid:
    experiment: Experiment = load_experiment(config, "grid.yaml", check_data=False)
    return Grid(experiment)


def test_answers_are_those_of_full_shortlists_by_all_arms(config: dict[str, Any]) -> None:
    work = {one.arm: one for one in search_work(loaded(config))}
    assert len(work) == SEARCHED
    # No cue and 4 slots with 2 shams each; 16 questions; 2 seeds, and the base model as often.
    assert work["closing 0.25"].answers == (1 + 4 * 3) * 16 * (2 + 2)
    assert work["closing 0.25"].judge_calls == work["closing 0.25"].answers
    base = next(one for name, one in work.items() if name.startswith("base"))
    assert base.answers * 2 == work["closing 0.25"].answers
    # The base model has no control that is scored beside it.
    assert base.scored * 2 == work["closing 0.25"].scored


def test_more_of_anything_is_more_work(config: dict[str, Any]) -> None:
    before = sum(one.scored for one in search_work(loaded(config)))
    discovery = loaded(config).config.discovery
    assert discovery is not None
    section = discovery.screen.model_dump(mode="json")
    for name in ("candidates", "number", "random", "keep"):
        changed = config["discovery"] | {"screen": section | {name: 3 * section[name]}}
        assert sum(one.scored for one in search_work(loaded(config | {"discovery": changed}))) > (
            before
        )


def test_a_grid_without_a_search_has_no_such_work(config: dict[str, Any]) -> None:
    del config["discovery"]
    assert search_work(loaded(config)) == []


def test_hours_and_calls_that_are_paid_contain_a_search(
    config: dict[str, Any], tmp_path: Path
) -> None:
    config["judges"] = ["capitals", "coherence_gpt4o"]
    with_search = loaded(config)
    without = loaded({name: value for name, value in config.items() if name != "discovery"})
    work = search_work(with_search)
    [more], [less] = judge_costs(with_search), judge_costs(without)
    assert more.calls - less.calls == sum(one.answers for one in work)
    assert more.tokens > less.tokens
    jobs = {row.rule: row.jobs for row in Estimates(with_search, tmp_path / "grid").rows()}
    assert {jobs[rule] for rule in ("screen", "sample_found", "judge_found")} == {SEARCHED}


def test_the_table_ends_with_the_sum() -> None:
    rows = [
        {"search": name, "arm": name, "scored": 1000, "answers": 10, "judge_calls": 20}
        for name in ("one", "two")
    ]
    columns = [list(column.cells) for column in search_table(rows).columns]
    assert columns == [
        ["one", "two", "all"],
        ["1,000", "1,000", "2,000"],
        ["10", "10", "20"],
        ["20", "20", "40"],
    ]
