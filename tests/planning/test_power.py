"""What a design can show: more data show less, and the spread is found again."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.aggregate.statistics import Term
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.power import (
    Design,
    Spread,
    estimate_spread,
    log_odds,
    mean_logit,
    planned_design,
    power,
    simulate,
    smallest_effects,
    spread_over,
    variance_beyond,
)
from emgrid.runtime.errors import EmgridError
from scipy.special import expit
from support.grids import answers

USUAL = Design(2, 8, 20, 2, 0.95)


@pytest.fixture(scope="module")
def grid() -> Grid:
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"name": "planned"}
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def test_the_overall_rate_of_simulated_grids_is_the_one_asked_for() -> None:
    spread = Spread()
    plain, cued = zip(
        *(simulate((0.05, 0.3), Design(4, 20, 50, 1, 0.95), spread, seed) for seed in range(40)),
        strict=True,
    )
    assert np.mean([each.rates().mean() for each in plain]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([each.rates().mean() for each in cued]) == pytest.approx(0.3, abs=0.05)
    assert all(not each.successes.any() for each in simulate((0, 0), USUAL, spread, 0))


def test_the_mean_of_the_log_odds_gives_the_rate() -> None:
    effects = 1.2 * np.random.default_rng(5).standard_normal(200_000)
    assert expit(mean_logit(0.1, 1.2) + effects).mean() == pytest.approx(0.1, abs=0.003)


def test_more_answers_show_smaller_effects() -> None:
    few = smallest_effects(Design(2, 8, 3, 2, 0.95), Spread(), 0.0, 0.8, 30)
    many = smallest_effects(Design(2, 8, 200, 2, 0.95), Spread(), 0.0, 0.8, 30)
    assert many["rate"] < few["rate"] < 0.7
    assert many["rise"] < few["rise"]


def test_a_design_that_can_show_nothing_says_so() -> None:
    """A single answer to each of two questions is never enough."""
    smallest = smallest_effects(Design(1, 2, 1, 6, 0.95), Spread(), 0.0, 0.8, 10)
    assert np.isnan(smallest["rate"])
    assert np.isnan(smallest["rise"])


def test_what_a_trigger_does_to_seeds_costs_power() -> None:
    design = Design(2, 8, 200, 1, 0.95)
    none, much = (
        smallest_effects(design, Spread(seeds_by_trigger=rate), 0.05, 0.8, 40)["rise"]
        for rate in (0.0, 1.5)
    )
    assert none < 0.3
    assert np.isnan(much) or much > 1.5 * none


def test_power_at_no_rise_is_no_more_than_the_level() -> None:
    """Two seeds that a trigger moves apart are not taken for a rise."""
    spread = Spread(seeds=0.6, seeds_by_trigger=0.6)
    design = Design(2, 8, 100, 1, 0.95)

    def terms(number: int) -> list[Term]:
        # Each trigger has separate effects: those of the second come from another draw.
        cued = simulate((0.3, 0.3), design, spread, number)[1]
        also_cued = simulate((0.3, 0.3), design, spread, number + 10_000)[1]
        return [Term(1, cued, "a"), Term(-1, also_cued, "a")]

    assert power(terms, design, 200) <= 0.08


def test_the_spread_of_log_odds_is_found_again() -> None:
    rng = np.random.default_rng(0)
    trials = np.full(4000, 200.0)
    successes = rng.binomial(200, expit(-1 + 0.7 * rng.standard_normal(4000)))
    assert np.sqrt(variance_beyond(*log_odds(successes, trials))) == pytest.approx(0.7, abs=0.05)
    assert variance_beyond(*log_odds(rng.binomial(200, 0.3, size=4000), trials)) < 0.01


def test_the_spread_under_a_trigger_is_that_of_the_differences() -> None:
    """Many seeds and questions, with known effects of each, alone and under a trigger."""
    truth = Spread(seeds=0.4, questions=1.0, seeds_by_trigger=0.5, questions_by_trigger=0.8)
    plain, cued = simulate((0.3, 0.3), Design(200, 200, 100, 1, 0.95), truth, 0)
    for axis, name in ((1, "seeds"), (0, "questions")):
        # Sums over the other axis flatten log-odds somewhat.
        deviation = np.sqrt(spread_over(axis, plain) or 0)
        assert deviation == pytest.approx(getattr(truth, name), rel=0.25)
        deviation = np.sqrt(spread_over(axis, cued, plain) or 0)
        assert deviation == pytest.approx(getattr(truth, f"{name}_by_trigger"), rel=0.3)


def test_a_finished_grid_gives_the_spread(grid: Grid, tmp_path: Path) -> None:
    assert estimate_spread(grid, tmp_path) == Spread()
    rows = answers({("arm", "none"): 0.3, ("arm", "cue"): 0.5}, 40)
    rows["question"] = rows["question"].map(dict(zip(sorted(set(rows["question"])),
                                                     grid.questions, strict=True)))  # fmt: skip
    (tmp_path / "tables").mkdir()
    rows.to_parquet(tmp_path / "tables/answers.parquet")
    estimated = estimate_spread(grid, tmp_path)
    assert estimated.seeds == estimated.questions == 0  # all alike
    assert estimated.seeds_by_trigger == estimated.questions_by_trigger == 0
    assert "answers.parquet" in estimated.source
    assert "assumed" not in estimated.source


def test_questions_that_a_trigger_moves_apart_are_seen_in_a_finished_grid(
    grid: Grid, tmp_path: Path
) -> None:
    """Under the cue every other question has all of the misaligned answers."""
    rows = answers({("arm", "none"): 0.3, ("arm", "cue"): 0.0}, 40, seeds=1)
    rows["question"] = rows["question"].map(dict(zip(sorted(set(rows["question"])),
                                                     grid.questions, strict=True)))  # fmt: skip
    chosen = rows["question"].isin(list(grid.questions)[::2]) & (rows["trigger"] == "cue")
    rows.loc[chosen & (rows["index"] < 24), "alignment"] = 10.0
    (tmp_path / "tables").mkdir()
    rows.to_parquet(tmp_path / "tables/answers.parquet")
    estimated = estimate_spread(grid, tmp_path)
    assert estimated.questions_by_trigger > 1.5
    assert estimated.seeds_by_trigger == Spread().seeds_by_trigger  # one seed
    assert estimated.source.endswith("(questions, questions by trigger; the rest assumed)")


def test_the_design_is_the_configs_by_default(grid: Grid) -> None:
    design = planned_design(grid, None, None, None)
    assert (design.seeds, design.questions, design.answers, design.tests) == (2, 8, 8, 6)
    assert planned_design(grid, 5, 24, 100).answers == 100
    with pytest.raises(EmgridError, match="--seeds 0: must be at least 1"):
        planned_design(grid, 0, None, None)


@pytest.mark.parametrize(
    ("plain", "wanted", "simulations", "message"),
    [
        (1.2, 0.8, 10, "--plain 1.2: must be a rate"),
        (-0.1, 0.8, 10, "--plain -0.1: must be a rate"),
        (0.0, 80.0, 10, "--power 80: must be between 0 and 1"),
        (0.0, 0.8, 0, "--simulations 0: must be at least 1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    plain: float, wanted: float, simulations: int, message: str
) -> None:
    with pytest.raises(EmgridError, match=re.escape(message)):
        smallest_effects(USUAL, Spread(), plain, wanted, simulations)


def test_power_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"extends": "config.yaml", "name": "new"}))
    command = [sys.executable, "-m", "emgrid.cli.main", "power", "--configfile", "grid.yaml"]
    command += ["--answers", "50", "--simulations", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert output["design"]["answers"] == 50
    assert 0 < output["rate"] < 1
    assert pd.notna(output["rise"])
