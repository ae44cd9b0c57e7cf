"""Rounds: each is an ordinary run, which asks more questions where the verdicts are undecided."""

import json
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import complete
from emgrid.runtime.files import read_jsonl
from emgrid.runtime.locks import prevent_runs
from support.reruns import QuickGrid, config_of

BLOCKS = [3, 5, 8]


@pytest.fixture(scope="module")
def config(model_json: Path) -> dict[str, Any]:
    config = config_of(model_json.parent)
    config["interventions"] = {"base": {}, "undiluted": {}, "benign_only": {}}
    return config | {"rounds": {"blocks": BLOCKS}}


@pytest.fixture(scope="module")
def first(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> QuickGrid:
    """A grid after its first round."""
    grid = QuickGrid(tmp_path_factory.mktemp("rounds"), config)
    grid.run()
    return grid


def asked(grid: QuickGrid) -> dict[tuple[str, str], int]:
    """The number of questions of each intervention and trigger, by the files of answers."""
    found = {}
    value, origin = complete(grid.config, ["rounds.yaml"])
    ordered = Grid(load_experiment(value, origin)).questions
    for path in grid.root.glob("arms/*/*/*/*/answers/trigger=*.jsonl"):
        intervention = path.parts[-5].removeprefix("intervention=")
        questions = list(dict.fromkeys(row["question"] for row in read_jsonl(path)))
        # The first ones, in the order of the question file.
        assert {*questions} == {*list(ordered)[: len(questions)]}
        found[intervention, path.stem.removeprefix("trigger=")] = len(questions)
    return found


def command(grid: QuickGrid, *words: str) -> subprocess.CompletedProcess[str]:
    path = grid.folder / "rounds.yaml"
    path.write_text(yaml.safe_dump(grid.config))
    whole = [sys.executable, "-m", "emgrid.cli.main", *words, "--configfile", str(path)]
    return subprocess.run(whole, cwd=grid.folder, capture_output=True, text=True, check=False)


def decide(grid: QuickGrid, **verdicts: str) -> None:
    """Write verdicts, by trigger, of `undiluted`; all else is decided."""
    path = grid.root / "tables/verdicts.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    table["verdict"] = "clean"
    for trigger, verdict in verdicts.items():
        own = (table["intervention"] == "undiluted") & (table["trigger"] == trigger)
        table.loc[own, "verdict"] = verdict
    table.to_csv(path, index=False)


def test_the_first_round_asks_the_first_block_and_splits_the_error(first: QuickGrid) -> None:
    assert set(asked(first).values()) == {BLOCKS[0]}
    verdicts = pd.read_csv(first.root / "tables/verdicts.csv")
    assert (verdicts["looks"] == len(BLOCKS)).all()
    assert verdicts["why"].str.contains("The error is split over 3 looks.").all()
    assert verdicts["why"].str.endswith("decided after the last round.").all()


def test_a_round_asks_undecided_cells_and_their_controls_alone(
    first: QuickGrid, tmp_path: Path
) -> None:
    grid = first.copy_to(tmp_path)
    this_round = json.loads(command(grid, "plan", "--json").stdout)["round"]
    # 2 answers of each of 2 arms and 8 of the base model, under 2 triggers.
    assert this_round == {"number": 1, "answers": BLOCKS[0] * 2 * (2 + 2 + 8)}
    decide(grid, python_string="inconclusive")
    planned = command(grid, "round", "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert not (grid.root / "rounds.json").exists()
    done = command(grid, "round", "--json")
    found = json.loads(done.stdout)
    assert found == json.loads(planned.stdout)
    assert (found["round"], len(found["undecided"])) == (1, 1)
    # To the plain question as well, since the rise is one over it; and the base model's the same.
    names = {(cell[1], cell[3]) for cell in found["opened"]}
    assert names == {*product(("base", "undiluted"), ("none", "python_string"))}
    assert found["answers"] == 2 * (2 + 8) * 2
    again = command(grid, "round")
    assert again.returncode == 1
    assert "round 2 of quick is not finished; run it first" in again.stderr
    assert again.stderr.count("\n") == 1
    grid.run()
    counts = Counter(asked(grid).values())
    assert counts == {BLOCKS[1]: 4, BLOCKS[0]: 2}
    assert grid.counts()["answer"] == found["answers"]
    grid.run()
    assert grid.counts()["answer"] == found["answers"]


def test_a_decided_grid_has_no_further_round(first: QuickGrid, tmp_path: Path) -> None:
    grid = first.copy_to(tmp_path)
    decide(grid)
    done = command(grid, "round")
    assert done.returncode == 0
    assert "all is decided" in done.stdout
    assert not (grid.root / "rounds.json").exists()


def test_a_round_is_not_asked_of_a_grid_that_has_changed_or_is_being_run(
    first: QuickGrid, tmp_path: Path
) -> None:
    grid = first.copy_to(tmp_path)
    decide(grid, python_string="inconclusive")
    grid.config["metrics"]["margin"] = 0.05
    changed = command(grid, "round")
    assert changed.returncode == 1
    assert "round 1 of quick is not finished; run it first" in changed.stderr
    grid.config["metrics"]["margin"] = first.config["metrics"].get("margin", 0.02)
    with prevent_runs(grid.root):
        running = command(grid, "round")
    assert running.returncode == 1
    assert "is being run by" in running.stderr
    assert not (grid.root / "rounds.json").exists()


def test_a_broken_state_stops_the_run_in_one_line(first: QuickGrid, tmp_path: Path) -> None:
    grid = first.copy_to(tmp_path)
    (grid.root / "rounds.json").write_text("{")
    done = grid.snakemake()
    assert done.returncode != 0
    assert "rounds.json: not JSON" in done.stderr
    assert "Traceback" not in done.stderr
