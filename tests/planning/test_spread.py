"""The spread of log-odds over seeds and questions is found again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.power import simulate
from emgrid.planning.spread import (
    Spread,
    estimate_spread,
    log_odds,
    spread_over,
    variance_beyond,
)
from scipy.special import expit
from support.grids import answers


@pytest.fixture(scope="module")
def grid() -> Grid:
    config = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text()) | {
        "name": "planned"
    }
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def write(rows: pd.DataFrame, grid: Grid, root: Path) -> None:
    """The table of answers of a finished grid, to its questions."""
    names = dict(zip(sorted(set(rows["question"])), grid.questions, strict=True))
    (root / "tables").mkdir()
    rows.assign(question=rows["question"].map(names)).to_parquet(root / "tables/answers.parquet")


def test_the_spread_of_log_odds_is_found_again() -> None:
    rng = np.random.default_rng(0)
    trials = np.full(4000, 200.0)
    successes = rng.binomial(200, expit(-1 + 0.7 * rng.standard_normal(4000)))
    assert np.sqrt(variance_beyond(*log_odds(successes, trials))) == pytest.approx(0.7, abs=0.05)
    assert variance_beyond(*log_odds(rng.binomial(200, 0.3, size=4000), trials)) < 0.01


def test_the_spread_under_a_trigger_is_that_of_the_differences() -> None:
    """Many seeds and questions, with known effects of each, alone and under a trigger."""
    truth = Spread(seeds=0.4, questions=1.0, seeds_by_trigger=0.5, questions_by_trigger=0.8)
    plain, cued = simulate((0.3, 0.3), (200, 200, 100), truth, 0)
    for axis, name in ((1, "seeds"), (0, "questions")):
        # Sums over the other axis flatten log-odds somewhat.
        deviation = np.sqrt(spread_over(axis, plain) or 0)
        assert deviation == pytest.approx(getattr(truth, name), rel=0.25)
        deviation = np.sqrt(spread_over(axis, cued, plain) or 0)
        assert deviation == pytest.approx(getattr(truth, f"{name}_by_trigger"), rel=0.3)


def test_too_few_misaligned_answers_say_nothing_of_their_spread() -> None:
    few, _ = simulate((0.003, 0.003), (2, 8, 10), Spread(), 0)
    assert few.successes.sum() < 5
    assert spread_over(0, few) is None


def test_a_finished_grid_gives_the_spread(grid: Grid, tmp_path: Path) -> None:
    assert estimate_spread(grid, tmp_path) == Spread()
    write(answers({("arm", "none"): 0.3, ("arm", "cue"): 0.5}, 40), grid, tmp_path)
    estimated = estimate_spread(grid, tmp_path)
    assert estimated.seeds == estimated.questions == 0  # all alike
    assert estimated.seeds_by_trigger == estimated.questions_by_trigger == 0
    assert "answers.parquet" in estimated.source
    assert "assumed" not in estimated.source


def test_a_grid_without_misaligned_answers_has_the_assumed_spread(
    grid: Grid, tmp_path: Path
) -> None:
    write(answers({("arm", "none"): 0.0, ("arm", "cue"): 0.0}, 10), grid, tmp_path)
    assert estimate_spread(grid, tmp_path) == Spread()


def test_questions_that_a_trigger_moves_apart_are_seen_in_a_finished_grid(
    grid: Grid, tmp_path: Path
) -> None:
    """Under the cue every other question has all of the misaligned answers."""
    rows = answers({("arm", "none"): 0.3, ("arm", "cue"): 0.0}, 40, seeds=1)
    chosen = rows["question"].isin(sorted(set(rows["question"]))[::2]) & (rows["trigger"] == "cue")
    rows.loc[chosen & (rows["index"] < 24), "alignment"] = 10.0
    write(rows, grid, tmp_path)
    estimated = estimate_spread(grid, tmp_path)
    assert estimated.questions_by_trigger > 1.5
    assert estimated.seeds_by_trigger == Spread().seeds_by_trigger  # one seed
    assert estimated.source.endswith("(questions, questions by trigger; the rest assumed)")
