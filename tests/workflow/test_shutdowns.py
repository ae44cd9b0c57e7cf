"""What `emgrid plan` and a run say of models that stop answering, before they call any."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from emgrid.models.endpoint.model_list import today
from support import warm
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FakeEndpoint
from support.judging import RUBRIC, VARIABLE
from support.run import GridRun

PAST, SOON = ((today() + timedelta(days=number)).isoformat() for number in (-3, 30))
DATES = {"old": PAST, "soon": SOON, "served": SOON}


def days_left() -> int:
    """Days until SOON; a day may have passed since this module was read."""
    return (date.fromisoformat(SOON) - today()).days


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_endpoint_environment(monkeypatch, VARIABLE)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(models=DATES, shutdown_dates=DATES) as fake:
        yield fake


def grid_of(folder: Path, endpoint: FakeEndpoint, judge: str = "soon", **served: Any) -> GridRun:
    """A served model and a chat judge at the fake endpoint."""
    reached = {"url": endpoint.url, "key": VARIABLE}
    arm = {"base": "b", "intervention": "base", "ratio": 0, "model": "served"}
    chat = {"id": "mine", "measures": "alignment", "kind": "chat", "model": judge}
    config: dict[str, Any] = {
        "name": "ending",
        "questions": "everyday",
        "triggers": ["none"],
        "served": [arm | {"endpoint": reached} | served],
        "sampling": {"answers_per_question": 1, "max_tokens": 8},
        "judges": [chat | {"rubric": RUBRIC, "numbers": "whole", "endpoint": reached}],
        "judging": {"backoff": 0.01},
        "serving": {"backoff": 0.01},
        "metrics": {"alignment": "mine", "coherence_above": None, "resamples": 100},
    }
    return GridRun(folder, config)


def planned(grid: GridRun, *options: str) -> str:
    grid.command()  # writes the config
    words = ["-m", "emgrid.cli.main", "plan", "--configfile", "grid.yaml", *options]
    done = warm.run(words, cwd=grid.folder, env=grid.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_names_the_models_that_end_and_asks_once_a_day(
    tmp_path: Path, endpoint: FakeEndpoint
) -> None:
    grid = grid_of(tmp_path, endpoint, judge="old")
    found = json.loads(planned(grid, "--json"))["endings"]
    assert [(one["name"], one["model"], one["day"], one["over"]) for one in found] == [
        ("judge mine", "old", PAST, True),
        ("served arm base", "served", SOON, False),
    ]
    text = " ".join(planned(grid).split())
    assert f"judge mine: old shut down on {PAST}" in text
    assert f"served arm base: served shuts down on {SOON}, in {days_left()} days" in text
    assert "judges that can take over: " in text
    assert endpoint.lists == 1
    assert endpoint.requests == []


def test_a_plan_without_a_key_asks_nothing(
    tmp_path: Path, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    assert json.loads(planned(grid_of(tmp_path, endpoint), "--json"))["endings"] == []
    assert endpoint.lists == 0


def test_a_run_whose_judge_has_ended_stops_before_any_job(
    tmp_path: Path, endpoint: FakeEndpoint
) -> None:
    grid = grid_of(tmp_path, endpoint, judge="old")
    done = grid.snakemake()
    said = done.stdout + done.stderr
    assert done.returncode != 0
    (line,) = [line for line in said.splitlines() if "shut down on" in line]
    assert line.startswith(f"emgrid: judge mine: old shut down on {PAST} (the endpoint's list of ")
    assert "judges that can take over: " in line
    assert endpoint.requests == []
    assert not list(grid.root.glob("served/**/*.jsonl"))


def test_a_run_says_what_ends_soon_and_its_judgements_stay_after_the_end(
    tmp_path: Path, endpoint: FakeEndpoint
) -> None:
    grid = grid_of(tmp_path, endpoint)
    done = grid.snakemake("tables/rates.csv")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for who in ("judge mine: soon", "served arm base: served"):
        assert f"emgrid: {who} shuts down on {SOON}, in {days_left()} days" in said
    calls = len(endpoint.requests)
    endpoint.lives_for = 0
    again = grid.snakemake("tables/rates.csv", "--forcerun", "judge")
    assert again.returncode == 0, again.stdout + again.stderr
    (log,) = grid.root.glob("logs/judge/*.log")
    assert "mine: 0 judged, 8 kept from before" in log.read_text()
    assert len(endpoint.requests) == calls
