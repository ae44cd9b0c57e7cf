"""Power of a design: shares of verdicts by simulation, and designs of equal cost."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from emgrid import ROOT
from emgrid.aggregate.design import Design
from emgrid.config.priors import USUAL, prior_sets
from emgrid.grid.design import designs_at_cost, planned_design
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.power import Truth, mean_logit, powers, simulate, verdict_shares
from emgrid.planning.spread import Spread
from emgrid.runtime.errors import EmgridError
from scipy.special import expit
from support import warm

PRIORS = prior_sets()[USUAL]
PUBLISHED = Design(3, 8, 100, 100, 1, 2, 0.95)
MORE_QUESTIONS = replace(PUBLISHED, questions=48, answers=16, base_answers=16)


@pytest.fixture(scope="module")
def grid() -> Grid:
    config = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text()) | {
        "name": "planned"
    }
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


# Simulated grids.


def test_the_overall_rate_of_simulated_grids_is_the_one_asked_for() -> None:
    plain, cued = zip(
        *(simulate((0.05, 0.3), (4, 20, 50), Spread(), seed) for seed in range(40)), strict=True
    )
    assert np.mean([each.rates().mean() for each in plain]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([each.rates().mean() for each in cued]) == pytest.approx(0.3, abs=0.05)
    assert all(not each.successes.any() for each in simulate((0, 0), (2, 8, 20), Spread(), 0))


def test_the_mean_of_the_log_odds_gives_the_rate() -> None:
    effects = 1.2 * np.random.default_rng(5).standard_normal(200_000)
    assert expit(mean_logit(0.1, 1.2) + effects).mean() == pytest.approx(0.1, abs=0.003)


# Verdicts.


@pytest.mark.parametrize("rate", [0.003, 0.05, 0.3])
def test_no_effect_is_hardly_ever_called_one(rate: float) -> None:
    """The trigger does nothing on average, and the arm has the base model's rate."""
    shares = verdict_shares(Truth(rate, rate, rate), PUBLISHED, Spread(), 60, PRIORS)
    assert shares.get("conditional", 0) + shares.get("triggered", 0) <= 0.05
    assert shares.get("overt", 0) <= 0.05
    assert sum(shares.values()) == pytest.approx(1)


def test_seeds_that_a_trigger_moves_apart_are_no_rise() -> None:
    spread = Spread(seeds=0.6, seeds_by_trigger=0.8)
    two_seeds = replace(PUBLISHED, seeds=2)
    shares = verdict_shares(Truth(0.1, 0.1, 0.1), two_seeds, spread, 60, PRIORS)
    assert shares.get("conditional", 0) + shares.get("triggered", 0) <= 0.1


def test_more_questions_at_equal_cost_raise_power() -> None:
    assert MORE_QUESTIONS.cost <= PUBLISHED.cost
    few, many = (
        powers(each, Spread(), 0.003, 0.2, 30, PRIORS) for each in (PUBLISHED, MORE_QUESTIONS)
    )
    assert few["conditional"] + 0.2 < many["conditional"]
    assert few["clean"] + 0.2 < many["clean"]
    assert many["conditional"] >= 0.9


def test_a_larger_rise_has_more_power_and_more_tests_less() -> None:
    many_tests = replace(PUBLISHED, arms=10, triggers=30)
    small, large, one_of_many = (
        verdict_shares(Truth(rate, rate, 0.003), design, Spread(), 30, PRIORS).get("overt", 0)
        for rate, design in ((0.06, PUBLISHED), (0.3, PUBLISHED), (0.06, many_tests))
    )
    assert one_of_many < small < large


def test_what_a_trigger_does_to_seeds_and_questions_costs_power() -> None:
    truth, design = Truth(0.003, 0.1, 0.003), replace(MORE_QUESTIONS, seeds=2)
    calm, rough = (
        verdict_shares(truth, design, spread, 30, PRIORS)
        for spread in (Spread(), Spread(seeds_by_trigger=1.5, questions_by_trigger=2.0))
    )
    assert rough.get("conditional", 0) + 0.15 < calm["conditional"]


def test_questions_at_hand_are_shown_to_be_clean_sooner_than_all_others() -> None:
    of_all, at_hand = (
        powers(replace(PUBLISHED, fixed=fixed), Spread(), 0.003, 0.3, 20, PRIORS)["clean"]
        for fixed in (False, True)
    )
    assert of_all + 0.3 < at_hand


def test_a_wider_margin_is_easier_to_stay_below() -> None:
    narrow, wide = (
        powers(replace(PUBLISHED, margin=margin), Spread(), 0.003, 0.5, 20, PRIORS)["clean"]
        for margin in (0.01, 0.15)
    )
    assert narrow < wide == 1


def test_equal_calls_give_equal_shares() -> None:
    one, two = (
        verdict_shares(Truth(0.02, 0.1, 0.02), PUBLISHED, Spread(), 5, PRIORS) for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    ("plain", "rise", "simulations", "message"),
    [
        (1.2, 0.2, 10, "--plain 1.2: must be a rate"),
        (-0.1, 0.2, 10, "--plain -0.1: must be a rate"),
        (0.0, 0.0, 10, "--rise 0: must be above 0"),
        (0.5, 0.6, 10, "--rise 0.6: must be above 0 and at most 0.45"),
        (0.0, 0.2, 0, "--simulations 0: must be at least 1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    plain: float, rise: float, simulations: int, message: str
) -> None:
    with pytest.raises(EmgridError, match=re.escape(message)):
        powers(PUBLISHED, Spread(), plain, rise, simulations, PRIORS)


# Designs.


def test_the_design_is_the_configs_by_default(grid: Grid) -> None:
    design = planned_design(grid, None, None, None, None)
    assert (design.seeds, design.questions) == (2, 8)
    assert design.answers == min(arm.sampling.answers_per_question for arm in grid.trained)
    assert design.tests == design.arms * design.triggers
    assert design.triggers == len(grid.triggers)
    other = planned_design(grid, 5, 24, 100, 400)
    numbers = (other.seeds, other.questions, other.answers, other.base_answers)
    assert numbers == (5, 24, 100, 400)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, None, None, None), "--seeds 0: must be at least 1"),
        ((None, 1, None, None), "--questions 1: must be at least 2"),
        ((None, None, 0, None), "--answers 0: must be at least 1"),
        ((None, None, None, -1), "--base-answers -1: must be at least 1"),
    ],
)
def test_impossible_numbers_are_refused(
    grid: Grid, numbers: tuple[int | None, ...], message: str
) -> None:
    with pytest.raises(EmgridError, match=message):
        planned_design(grid, *numbers)


def test_the_cost_counts_arms_seeds_triggers_and_the_base_model() -> None:
    design = Design(2, 8, 10, 40, arms=6, triggers=3, confidence=0.95)
    assert design.cost == 3 * 8 * (6 * 2 * 10 + 40)


@pytest.mark.parametrize("answers", [20, 100])
def test_designs_of_equal_cost_cost_about_as_much(answers: int) -> None:
    design = Design(3, 8, answers, answers, arms=4, triggers=6, confidence=0.95)
    others = designs_at_cost(design, design.cost)
    assert {each.questions for each in others} >= {8, 16, 24}
    assert {each.base_answers // each.answers for each in others} == {1, 2, 4}
    assert {each.seeds for each in others} == {2, 3, 4}
    for each in others:
        # The number of answers is a whole one.
        share, one_more = each.base_answers // each.answers, each.answers + 1
        step = replace(each, answers=one_more, base_answers=share * one_more)
        assert each.cost <= design.cost < step.cost
    assert len(set(others)) == len(others)


# The command.


def command(folder: Path, *words: object) -> str:
    (folder / "grid.yaml").write_text(
        yaml.safe_dump({"extends": str(ROOT / "tests/support/everyday.yaml"), "name": "new"})
    )
    done = warm.run(
        ["-m", "emgrid.cli.main", "power", "--configfile", "grid.yaml", *map(str, words)],
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_power_is_a_command(tmp_path: Path) -> None:
    words = ("--answers", 50, "--base-answers", 200, "--simulations", 2)
    found = json.loads(command(tmp_path, *words, "--json"))
    (design,) = found["designs"]
    assert (design["answers"], design["base_answers"], design["questions"]) == (50, 200, 8)
    assert all(0 <= design[name] <= 1 for name in ("conditional", "clean", "overt"))
    assert found["spread"]["source"] == Spread().source
    page = command(tmp_path, *words)
    assert "P(conditional)" in page
    assert "of published answers" in page


def test_search_lists_designs_of_about_equal_cost(tmp_path: Path) -> None:
    words = ("--search", "--simulations", 1, "--seeds", 1, "--answers", 40, "--json")
    found = json.loads(command(tmp_path, *words))["designs"]
    cost = found[0]["cost"]
    assert (found[0]["questions"], found[0]["answers"]) == (8, 40)
    assert {each["questions"] for each in found} == {8, 16, 24, 48}
    assert {each["seeds"] for each in found} == {1, 2}
    # Down to the whole number of answers.
    assert all(cost * (1 - 1 / (each["answers"] + 1)) - 1 < each["cost"] <= cost for each in found)


def test_looks_cost_power_to_show_a_rise_and_none_to_show_that_it_is_small() -> None:
    few = replace(PUBLISHED, questions=4, answers=20, base_answers=20)
    rising, small = Truth(0.003, 0.15, 0.003), Truth(0.001, 0.001, 0.001)
    shown, clean = (
        [
            verdict_shares(truth, replace(design, looks=looks), Spread(), 12, PRIORS)
            for looks in (1, 20)
        ]
        for truth, design in ((rising, few), (small, MORE_QUESTIONS))
    )
    once, often = (found.get("conditional", 0) + found.get("triggered", 0) for found in shown)
    assert once > often
    assert clean[0] == clean[1]
    assert clean[0]["clean"] >= 0.5
