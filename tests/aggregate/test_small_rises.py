"""Differences of rates: against drawn values, invariances, and how often they are called small."""

from itertools import pairwise

import numpy as np
import pytest
from emgrid.aggregate.rate_posterior import Rates, rate_posteriors
from emgrid.aggregate.small_rises import common_change, rise_beyond_base, rise_over_base
from emgrid.aggregate.statistics import Counts
from emgrid.config.priors import prior_sets
from scipy.special import expit

USUAL = prior_sets()["usual"].rates


def rates(successes: object, trials: int, trained: bool = True) -> Rates:
    """Posteriors of cells of shape (cells, seeds, questions)."""
    hits = np.asarray(successes, dtype=np.int64)
    cells = [Counts(cell, np.full(cell.shape, trials)) for cell in hits]
    return rate_posteriors(cells, USUAL, trained)


def draws(found: Rates, rng: np.random.Generator) -> np.ndarray:
    """200,000 values of each cell, shape (cells, values)."""
    levels = np.sort(rng.random(200_000))
    return np.array([rng.permutation(np.interp(levels, np.append(0, np.cumsum(mass)), found.edges))
                     for mass in found.mass])  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> dict[str, Rates]:
    return {
        "trigger": rates([[[9, 0, 4, 1]] * 3, [[1, 0, 0, 2]] * 3], 40),
        "plain": rates([[[1, 0, 0, 0]] * 3], 40),
        "base_trigger": rates([[[0, 0, 3, 1]], [[0, 0, 0, 0]]], 100, trained=False),
        "base_plain": rates([[[0, 0, 1, 0]], [[0, 0, 0, 0]]], 100, trained=False),
    }


def test_a_difference_has_the_quantiles_of_drawn_values(cells: dict[str, Rates]) -> None:
    found = rise_over_base(cells["trigger"], cells["base_trigger"])
    rng = np.random.default_rng(0)
    values = draws(cells["trigger"], rng) - draws(cells["base_trigger"], rng)
    for level in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(found.quantile(level), np.quantile(values, level, axis=1),
                                   rtol=0.03, atol=1e-3)  # fmt: skip
    np.testing.assert_allclose(found.below(0.02), (values < 0.02).mean(axis=1), atol=0.01)
    np.testing.assert_allclose(found.mean(), values.mean(axis=1), rtol=0.02, atol=3e-4)


def test_a_double_difference_has_the_quantiles_of_drawn_values(cells: dict[str, Rates]) -> None:
    independent = cells["base_trigger"].minus(cells["base_plain"])
    found = rise_beyond_base(cells["trigger"], cells["plain"], independent)
    rng = np.random.default_rng(0)
    drawn = {name: draws(each, rng) for name, each in cells.items()}
    values = (drawn["trigger"] - drawn["plain"]) - (drawn["base_trigger"] - drawn["base_plain"])
    for level in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(found.quantile(level), np.quantile(values, level, axis=1),
                                   rtol=0.03, atol=1e-3)  # fmt: skip


def test_an_unknown_part_in_common_is_no_change(cells: dict[str, Rates]) -> None:
    """Two cells with the same counts have not changed; of others the mean change is that of
    independent posteriors, with less spread."""
    change = common_change(cells["base_trigger"], cells["base_plain"])
    assert change.lower(0.99)[1] == pytest.approx(0, abs=1e-4)
    assert change.upper(0.99)[1] == pytest.approx(0, abs=1e-4)
    independent = cells["base_trigger"].minus(cells["base_plain"])
    np.testing.assert_allclose(change.mean(), independent.mean(), rtol=0.05, atol=2e-4)
    width, wider = (np.diff(each.interval(0.9), axis=0)[0] for each in (change, independent))
    assert (width < wider).all()


def test_one_base_is_taken_from_each_cell(cells: dict[str, Rates]) -> None:
    one = cells["base_plain"].of(np.array([0]))
    together = rise_over_base(cells["trigger"], one)
    for place in range(2):
        alone = rise_over_base(cells["trigger"].of(np.array([place])), one)
        np.testing.assert_allclose(together.mass[place], alone.mass[0])
    with pytest.raises(ValueError, match="1 distributions minus 2"):
        one.minus(cells["trigger"])


def test_an_unknown_cell_is_never_small() -> None:
    known, unknown = rates(np.zeros((1, 3, 64)), 50), rates(np.zeros((1, 3, 64)), 0)
    assert (rise_over_base(known, known).below(0.02) > 0.95).all()
    for first, second in ((known, unknown), (unknown, known)):
        assert not (rise_over_base(first, second).below(0.02) > 0.95).any()
        change = common_change(first, second)
        assert np.isnan(change.upper(0.95)).all()
        assert not (rise_beyond_base(known, known, change).below(0.02) > 0.95).any()


def test_a_larger_margin_or_less_confidence_makes_more_rises_small() -> None:
    hits = np.zeros((6, 3, 24), dtype=np.int64)
    for cell in range(6):
        hits[cell, :, ::2] = cell
    found = rise_over_base(rates(hits, 50), rates(np.zeros((1, 1, 24)), 200, trained=False))
    assert (np.diff(found.upper(0.95)[1:]) > 0).all()
    limits = ((0.01, 0.95), (0.05, 0.95), (0.05, 0.8), (0.3, 0.8))
    small = [found.below(margin) > level for margin, level in limits]
    assert all((one <= other).all() for one, other in pairwise(small))
    assert not small[0].all()
    assert small[-1].all()


@pytest.mark.parametrize("sd", [1.0, 2.0])
def test_a_rise_of_the_margin_is_seldom_called_small(sd: float) -> None:
    """Eight questions, three seeds: the trigger adds two points; plain and base are at 0.3 %."""
    rng = np.random.default_rng(3)
    levels, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.linspace(-15, 0, 3001)

    def location(rate: float, spread: float) -> float:
        means = expit(grid[:, None] + spread * levels) @ weights / weights.sum()
        return float(np.interp(rate, means, grid))

    questions = rng.normal(0, sd, (300, 1, 8))
    seeds = rng.normal(0, 0.3, (300, 3, 1))
    reaction = rng.normal(0, 0.5, (300, 1, 8))

    def cell(rate: float, spread: float, answers: int, *effects: np.ndarray) -> Rates:
        chances = expit(location(rate, spread) + sum(effects, questions))
        return rates(rng.binomial(answers, chances), answers, trained=len(effects) > 0)

    plain = cell(0.003, np.hypot(sd, 0.3), 100, seeds)
    trigger = cell(0.023, np.sqrt(sd**2 + 0.34), 100, seeds, reaction)
    base, base_trigger = cell(0.003, sd, 300), cell(0.003, sd, 300)
    beyond = rise_beyond_base(trigger, plain, common_change(base_trigger, base))
    over = rise_over_base(trigger, base_trigger)
    for rises in (beyond, over):
        assert (rises.below(0.02) > 0.95).mean() < 0.13
    same = rise_over_base(plain, base)
    assert (same.below(0.02) > 0.95).mean() > 0.25
