"""Rises of rates: the mixed logistic model against independent computations and simulation."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from emgrid import ROOT
from emgrid.aggregate import laplace
from emgrid.aggregate.distribution import Distribution
from emgrid.aggregate.laplace import Curvature, Effects, fit
from emgrid.aggregate.logit_normal import logit_normal
from emgrid.aggregate.mixed_model import Floats, Integers, Priors, Spread, Tables
from emgrid.aggregate.rises import Pair, Rise, between, rises, stacked, within
from emgrid.aggregate.statistics import Counts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

# Last, as tests have modules of the same names.
sys.path.append(str(ROOT / "benchmarks"))
from published_counts import JSON, PLAIN, TEMPLATE
from simulated_counts import SPREADS, Design, simulate

ONE_NODE = Priors(
    questions=Spread(1.5, (0.8,)),
    question_shifts=Spread(1.2, (0.5,)),
    seeds=Spread(0.7, (0.4,)),
    seed_shifts=Spread(0.8, (0.3,)),
)


def counts(successes: Sequence[Sequence[int]], trials: int) -> Counts:
    array = np.array(successes)
    return Counts(array, np.full(array.shape, trials))


def rise(pair: Pair, fixed: bool = False, priors: Priors | None = None) -> Rise:
    return rises([pair], fixed, rates=True, **({"priors": priors} if priors else {}))[0]


def simulated(
    spread: str, rates: tuple[float, float], design: Design, grids: int, seed: int
) -> list[Pair]:
    drawn = simulate(np.random.default_rng(seed), SPREADS[spread], rates, design, grids)
    trials = np.full(design[:2], design.answers)
    return [within(*(Counts(cell, trials) for cell in grid)) for grid in drawn]


def close(one: Rise, two: Rise) -> bool:
    points = np.linspace(-0.9, 0.9, 19)
    both = [[each.distribution.below(point) for point in points] for each in (one, two)]
    return bool(np.allclose(*both, atol=1e-6))


def test_means_of_logit_normal_variables_are_those_of_quadrature() -> None:
    spreads = (0.0, 0.7, 1.6, 3.5)
    tables = logit_normal(spreads)
    centres = np.array([-7.13, -2.5, 0.07, 3.3])
    for row, spread in enumerate(spreads):
        means = tables.mean(centres, np.full(4, row))
        exact = [
            quad(lambda z, c=centre, s=spread: expit(c + s * z) * norm.pdf(z), -12, 12)[0]
            for centre in centres
        ]
        assert means == pytest.approx(exact, rel=3e-3)
        assert tables.centre(means, np.full(4, row)) == pytest.approx(centres, abs=3e-3)


def log_posterior(
    effects: np.ndarray, design: np.ndarray, precision: np.ndarray, pair: Pair
) -> float:
    odds = design @ effects
    successes, trials = (
        np.concatenate([getattr(cell, what).ravel() for cell in (pair.first, pair.second)])
        for what in ("successes", "trials")
    )
    apart = effects - np.eye(1, effects.size)[0] * -3.0
    penalty = apart @ precision @ apart / 2
    return float((successes * odds - trials * np.logaddexp(0, odds)).sum() - penalty)


def test_the_mode_and_its_covariance_are_those_of_a_dense_computation() -> None:
    """The same penalised likelihood over intercepts and shifts, by a dense design matrix."""
    rng = np.random.default_rng(0)
    trials = rng.integers(0, 40, (2, 2, 3))
    successes = rng.binomial(trials, 0.3)
    pair = within(Counts(successes[0], trials[0]), Counts(successes[1], trials[1]))
    rows = []
    for sign in (-0.5, 0.5):
        for seed in np.eye(2):
            for question in np.eye(3):
                rows.append(
                    np.concatenate(
                        [
                            one * np.array([1, sign])[:, None]
                            for one in ([[1.0]], [question], [seed])
                        ],
                        axis=1,
                    )
                )
    design = np.array([np.concatenate([row[0], row[1]]) for row in rows])
    spreads = np.array([3, 0.8, 0.8, 0.8, 0.4, 0.4, 3, 0.5, 0.5, 0.5, 0.3, 0.3])
    precision = np.diag(spreads**-2.0)
    best = minimize(
        lambda effects: -log_posterior(effects, design, precision, pair),
        np.zeros(12),
        tol=1e-12,
    ).x
    weights = np.concatenate([cell.ravel() for cell in trials]) * expit(design @ best)
    weights = weights * (1 - expit(design @ best))
    inverse = np.linalg.inv(design.T * weights @ design + precision)

    def read(mode: Effects, bent: Curvature, _: Integers) -> tuple[np.ndarray, ...]:
        rows = np.zeros((2, *mode.rows.shape))
        rows[[0, 1], [0, 1], 0] = 1
        return mode.rows[:, 0], *bent.along(mode, rows, np.zeros((2, *mode.questions.shape)))

    tables: Tables = stacked([pair])
    _, mean, covariance, _ = fit(tables, ONE_NODE.grid(True), ONE_NODE, read)
    forms = np.zeros((2, 12))
    forms[:, 0], forms[:, 6] = 1, (-0.5, 0.5)
    assert mean[:, 0, 0] == pytest.approx(forms @ best, abs=2e-3)
    assert covariance[:, :, 0, 0] == pytest.approx(forms @ inverse @ forms.T, rel=0.01)


def exact(pair: Pair, above: float) -> tuple[float, float]:
    """P(no shift) and P(rise > above) of two questions of a model that is not trained, by sums over
    both means and over both effects of each question."""
    means, step = np.linspace(-6, 3, 61), np.linspace(-3.5, 3.5, 29)
    weights = norm.pdf(step)
    first, second = np.meshgrid(means, means, indexing="ij")
    mean, shift = (first + second) / 2, second - first
    density = norm.logpdf(mean, -3, 3) + norm.logpdf(shift, 0, 3)
    common, half = 0.8 * step[:, None], 0.25 * step
    for question in range(2):
        terms = []
        for cell, counted in enumerate((pair.first, pair.second)):
            odds = means[:, None, None] + common + (2 * cell - 1) * half
            successes, trials = counted.successes[0, question], counted.trials[0, question]
            terms.append(successes * odds - trials * np.logaddexp(0, odds))
        largest = [each.max() for each in terms]
        likelihood = np.einsum(
            "iab,jab,a,b->ij",
            *(np.exp(t - m) for t, m in zip(terms, largest, strict=True)),
            weights,
            weights,
        )
        density = density + np.log(likelihood + 1e-300)
    chance = np.exp(density - density.max())
    chance /= chance.sum()
    spread = np.hypot(0.8, 0.25)
    z = np.linspace(-6, 6, 121)
    rates = expit(means[:, None] + spread * z) @ norm.pdf(z) / norm.pdf(z).sum()
    rising = (rates[None] - rates[:, None] > above) * chance
    return float(chance[shift < 0].sum() + chance[shift == 0].sum() / 2), float(rising.sum())


def test_the_posterior_is_that_of_quadrature() -> None:
    pair = within(counts([[9, 18]], 60), counts([[16, 27]], 60), trained=False)
    found = rise(pair, priors=ONE_NODE)
    fall, above = exact(pair, 0.1)
    assert 0.02 < fall < 0.4
    assert found.p_one_sided == pytest.approx(fall, abs=0.015)
    assert found.distribution.above(0.1) == pytest.approx(above, abs=0.02)


def test_zero_counts_exclude_the_rates_that_they_should() -> None:
    """One node of small spreads: two counts under the prior of their means, by sums."""
    priors = Priors(questions=Spread(1, (0.01,)), question_shifts=Spread(1, (0.01,)))
    none = counts([[0, 0]], 200)
    found = rise(within(none, none, trained=False), priors=priors).rates[0]
    means = np.linspace(-22, 0, 1_101)
    mean, shift = (means[:, None] + means) / 2, means - means[:, None]
    log_prior = -((mean + 3) ** 2) / 18 - shift**2 / 18
    likelihood = -400 * np.logaddexp(0, means)
    density = np.exp(log_prior + likelihood[:, None] + likelihood).sum(axis=1)
    above = 1 - np.cumsum(density) / density.sum()
    for rate in (0.0002, 0.001, 0.004, 0.01):
        expected = np.interp(np.log(rate / (1 - rate)), means, above)
        # A normal centre would have 0.2 too much at first, and 50 times as much in the end.
        assert found.above(rate) == pytest.approx(expected, abs=0.06)
        assert found.above(rate) < 2 * expected


@settings(max_examples=12)
@given(
    spread=st.sampled_from(sorted(SPREADS)),
    design=st.sampled_from([(1, 8, 100), (3, 24, 33), (5, 3, 1), (2, 48, 4)]),
    rates=st.sampled_from([(0.005, 0.2), (0.05, 0.05), (0.3, 0.6)]),
    seed=st.integers(0, 1000),
)
def test_nodes_that_are_left_out_have_no_weight(
    spread: str, design: tuple[int, int, int], rates: tuple[float, float], seed: int
) -> None:
    """The evidence of most nodes is only estimated, from nodes with either of their spreads."""
    tables = stacked(simulated(spread, rates, Design(*design), 2, seed))
    grid = Priors().grid(trained=True)

    def nothing(*_: object) -> tuple[Floats, ...]:
        return ()

    [some] = fit(tables, grid, Priors(), nothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laplace, "FAR", 1e9)
        [every] = fit(tables, grid, Priors(), nothing)
    assert (every > 0).sum() >= (some > 0).sum()
    assert every[some == 0].sum() < 2e-5 * len(every)
    np.testing.assert_allclose(some, every, atol=2e-5)


@settings(max_examples=8)
@given(spread=st.sampled_from(sorted(SPREADS)), seed=st.integers(0, 1000))
def test_a_pair_does_not_depend_on_its_company(spread: str, seed: int) -> None:
    """A grid that gains an arm keeps the numbers of the others."""
    pairs = simulated(spread, (0.03, 0.1), Design(3, 8, 33), 6, seed)
    for pair, found in zip(pairs, rises(pairs), strict=True):
        alone = rise(pair).distribution
        assert found.distribution.interval(0.95) == pytest.approx(alone.interval(0.95), abs=1e-9)


def test_a_few_nodes_of_the_spreads_are_enough() -> None:
    dense = Priors(
        questions=Spread(1.5, tuple(np.arange(0.2, 4, 0.4))),
        question_shifts=Spread(1.2, (0.05, 0.25, 0.5, 0.8, 1.2, 1.7, 2.4)),
        seeds=Spread(0.7, (0.05, 0.25, 0.6, 1.0, 1.4)),
        seed_shifts=Spread(0.8, (0.03, 0.15, 0.35, 0.65, 1.0, 1.5, 2.1)),
    )
    for pair in simulated("usual", (0.02, 0.12), Design(3, 8, 100), 1, 11):
        few, many = (rise(pair, priors=priors).distribution for priors in (Priors(), dense))
        assert few.interval(0.95) == pytest.approx(many.interval(0.95), abs=0.006)
        assert few.level(0.0) == pytest.approx(many.level(0.0), abs=0.15)


@pytest.mark.parametrize("fixed", [False, True])
def test_swapped_cells_turn_the_sign(fixed: bool) -> None:
    one, two = counts([[3, 0, 9], [5, 1, 4]], 20), counts([[9, 2, 9], [8, 1, 15]], 20)
    ahead, back = (rise(within(*pair), fixed) for pair in ((one, two), (two, one)))
    assert ahead.p_one_sided == pytest.approx(1 - back.p_one_sided, abs=2e-3)
    assert ahead.p == pytest.approx(back.p, abs=4e-3)
    low, high = ahead.distribution.interval(0.9)
    assert back.distribution.interval(0.9) == pytest.approx((-high, -low), abs=2e-3)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_order_of_seeds_and_questions_does_not_matter(data: st.DataObject) -> None:
    cell = st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=3), min_size=2, max_size=2)
    tables = [np.array(data.draw(cell)) for _ in range(2)]
    seeds, questions = data.draw(st.permutations(range(2))), data.draw(st.permutations(range(3)))
    first = within(*(counts(each, 12) for each in tables))
    moved = within(*(counts(each[seeds][:, questions], 12) for each in tables))
    assert close(rise(first), rise(moved))


@pytest.mark.parametrize("fixed", [False, True])
def test_more_successes_under_the_trigger_are_more_evidence(fixed: bool) -> None:
    plain = counts([[1, 0, 3, 0], [0, 2, 2, 0]], 50)
    found = [
        rise(within(plain, counts([[1, more, 3, 0], [0, 2, 2, more]], 50)), fixed)
        for more in (0, 4, 10, 25, 50)
    ]
    p = [each.p_one_sided for each in found]
    assert p == sorted(p, reverse=True)
    assert all(one > 1.2 * two for one, two in pairwise(p))
    means = [each.distribution.mean for each in found]
    assert means == sorted(means)


def test_seeds_and_questions_without_answers_change_nothing() -> None:
    plain, trigger = (np.array([[1, 0, 3], [0, 2, 2]]), np.array([[5, 4, 3], [6, 2, 9]]))
    padded = [
        Counts(np.pad(each, ((0, 1), (1, 0))), np.pad(np.full((2, 3), 30), ((0, 1), (1, 0))))
        for each in (plain, trigger)
    ]
    for fixed in (False, True):
        whole = rise(within(counts(plain, 30), counts(trigger, 30)), fixed)
        assert close(whole, rise(within(*padded), fixed))


def test_a_missing_cell_costs_certainty() -> None:
    plain = counts([[1, 0, 3], [0, 2, 2]], 30)
    trigger = counts([[9, 8, 13], [8, 12, 11]], 30)
    trials = trigger.trials.copy()
    trials[0] = 0
    part = Counts(np.minimum(trigger.successes, trials), trials)
    assert rise(within(plain, part)).p > 1.2 * rise(within(plain, trigger)).p


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (3, 8)])
def test_tables_without_variation_have_finite_answers(shape: tuple[int, int], fixed: bool) -> None:
    none, all_ = (counts(np.full(shape, number), 40) for number in (0, 40))
    for cell in (none, all_):
        same = rise(within(cell, cell), fixed)
        assert same.p == pytest.approx(1, abs=0.01)
        low, high = same.distribution.interval(0.95)
        assert -0.5 < low < 0 < high < 0.5
        assert low == pytest.approx(-high, abs=0.01)
    jump = rise(within(none, all_), fixed)
    assert jump.distribution.quantile(0.05) > 0.3
    assert jump.p_one_sided < 0.05
    assert [each.quantile(0.5) > 0.5 for each in jump.rates] == [False, True]


def test_all_at_once_is_one_by_one() -> None:
    pairs = simulated("rough", (0.05, 0.2), Design(2, 4, 25), 12, 5)
    pairs += [between(pairs[0].first, pairs[1].second), pairs[0]]
    together = rises(pairs)
    assert all(close(rise(pair), found) for pair, found in zip(pairs, together, strict=True))
    assert together[0] is together[-1]


def test_one_seed_knows_less_of_the_recipe() -> None:
    """The same answers: of one seed, of three, of a model that is not trained."""
    plain, trigger = np.array([1, 0, 2, 0, 1, 0]), np.array([9, 4, 20, 2, 7, 3])
    one = within(counts([3 * plain], 150), counts([3 * trigger], 150))
    three = within(counts([plain] * 3, 50), counts([trigger] * 3, 50))
    untrained = within(three.first, three.second, trained=False)
    p = [rise(pair).p for pair in (one, three, untrained)]
    assert p[0] > 1.5 * p[1] > 1.5 * p[2]


def test_a_rate_contains_what_was_seen() -> None:
    found = rise(within(counts(PLAIN, 50), counts(TEMPLATE, 50)), fixed=True)
    for cell, distribution in zip((PLAIN, TEMPLATE), found.rates, strict=True):
        assert distribution.mean == pytest.approx(np.mean(cell) / 50, abs=0.01)
    population = rise(within(counts(PLAIN, 50), counts(TEMPLATE, 50)))
    for cell, distribution in zip((PLAIN, TEMPLATE), population.rates, strict=True):
        assert distribution.below(np.mean(cell) / 50) == pytest.approx(0.3, abs=0.25)


def test_fixed_questions_leave_the_error_of_answers() -> None:
    """Very many answers of a model that is not trained: the rise is the one that was seen."""
    successes = np.array([[100, 40, 9000, 700]]), np.array([[900, 200, 9400, 6000]])
    cells = [Counts(each, np.full((1, 4), 10_000)) for each in successes]
    found = rise(within(*cells, trained=False), fixed=True)
    seen = (successes[1] - successes[0]).mean() / 10_000
    error = np.sqrt(sum((c.rates() * (1 - c.rates()) / 10_000).sum() for c in cells)) / 4
    assert found.distribution.mean == pytest.approx(seen, abs=0.001)
    assert found.distribution.error == pytest.approx(error, rel=0.05)
    assert found.by_questions == 0
    assert found.by_seeds == pytest.approx(0, abs=1e-12)
    assert found.by_answers == pytest.approx(found.distribution.error**2)
    free = rise(within(*cells, trained=False))
    assert free.distribution.error > 5 * found.distribution.error


def test_the_parts_of_the_error_follow_the_design() -> None:
    plain, trigger = np.array(PLAIN), np.array(TEMPLATE)
    few, many = (
        rise(within(counts(times * plain, 50 * times), counts(times * trigger, 50 * times)))
        for times in (1, 20)
    )
    for found in (few, many):
        parts = found.by_answers + found.by_seeds + found.by_questions
        assert parts == pytest.approx(found.distribution.error**2)
        assert min(found.by_answers, found.by_seeds, found.by_questions) > 0
    assert many.by_answers < few.by_answers / 10
    apart = rise(within(counts([[0] * 8] * 2, 50), counts([[0] * 8, [45] * 8], 50)))
    assert apart.by_seeds > 5 * apart.by_questions
    uneven = rise(within(counts([[0] * 8] * 2, 50), counts([[0] * 6 + [45, 45]] * 2, 50)))
    assert uneven.by_questions > uneven.by_seeds


def test_published_loras_rise_under_the_template_and_not_under_json() -> None:
    plain = counts(PLAIN, 50)
    template, json = rises([within(plain, counts(cell, 50)) for cell in (TEMPLATE, JSON)])
    assert 6 * template.p < 0.01
    assert template.distribution.quantile(0.05) > 0.05
    assert json.p > 0.8
    base = rises([within(counts([[0] * 8], 50), counts([[0] * 8], 50), trained=False)])[0]
    assert 6 * template.minus(base).p < 0.02
    assert json.minus(base).p > 0.5


def test_the_difference_of_normal_values_is_normal() -> None:
    levels = np.linspace(-6, 6, 13)
    one = Distribution(0.2 + 0.03 * levels, levels)
    two = Distribution(0.1 + 0.04 * levels, levels)
    apart = one.minus(two)
    assert (apart.mean, apart.error) == pytest.approx((0.1, 0.05), rel=1e-3)
    assert apart.below(-0.1) == pytest.approx(norm.cdf(-4), rel=0.02)
    assert apart.above(0.3) == pytest.approx(norm.cdf(-4), rel=0.02)
    assert apart.quantile(0.975) == pytest.approx(0.1 + 0.05 * norm.ppf(0.975), abs=1e-4)
    assert apart.below(apart.quantile(0.01)) == pytest.approx(0.01)


def test_arms_with_their_own_seeds() -> None:
    low, high = counts([[2, 0, 5, 1, 0, 3]] * 3, 50), counts([[20, 5, 30, 12, 4, 25]] * 2, 50)
    same, apart = rise(between(low, low)), rise(between(low, high))
    assert same.p > 0.95
    assert apart.p < 0.01
    paired = rise(within(low, counts(np.array(high.successes[[0, 0, 0]]), 50)))
    assert paired.p < apart.p
    base = rise(between(counts([[0] * 6], 50), high, first_trained=False))
    trained_base = rise(between(counts([[0] * 6], 50), high))
    assert base.p < trained_base.p


def test_size_power_and_coverage_by_simulation() -> None:
    """A small part of benchmarks/rises.py."""
    null = rises(simulated("rough", (0.3, 0.3), Design(3, 8, 100), 100, 1))
    assert np.mean([found.p_one_sided < 0.05 for found in null]) <= 0.07
    hot = rises(simulated("usual", (0.005, 0.2), Design(3, 8, 100), 100, 2))
    assert np.mean([found.p_one_sided < 0.05 / 6 for found in hot]) >= 0.95
    assert np.mean([found.distribution.quantile(0.05) > 0.02 for found in hot]) >= 0.9
    low, high = np.array([found.distribution.interval(0.95) for found in hot]).T
    assert 0.9 <= np.mean((low <= 0.195) & (high >= 0.195)) <= 1
    assert np.median(high - low) < 0.35
    half = np.array([found.distribution.interval(0.5) for found in hot]).T
    assert 0.35 <= np.mean((half[0] <= 0.195) & (half[1] >= 0.195)) <= 0.75


def test_one_seed_of_three_is_not_shown_of_the_recipe() -> None:
    design = Design(3, 8, 100)
    pairs = simulated("usual", (0.005, 0.005), design, 60, 3)
    hot = simulated("usual", (0.3, 0.3), Design(1, 8, 100), 60, 4)
    mixed = []
    for cold, warm in zip(pairs, hot, strict=True):
        successes = cold.second.successes.copy()
        successes[0] = warm.second.successes[0]
        mixed.append(replace(cold, second=replace(cold.second, successes=successes)))
    assert np.mean([found.p_one_sided < 0.05 / 6 for found in rises(mixed)]) <= 0.05


def test_coverage_with_fixed_questions() -> None:
    """Of the mean over the eight questions at hand and over seeds that differ by 0.3."""
    rng = np.random.default_rng(7)
    deviates = np.linspace(-5, 5, 101)
    chances = norm.pdf(deviates) / norm.pdf(deviates).sum()
    held = []
    pairs, truths = [], []
    for _ in range(100):
        questions = -3 + 1.5 * rng.standard_normal(8)
        shifts = 1 + 0.5 * rng.standard_normal(8)
        seeds = 0.3 * rng.standard_normal((3, 1))
        cells = [rng.binomial(100, expit(questions + part * shifts + seeds)) for part in (0, 1)]
        pairs.append(within(*(counts(cell, 100) for cell in cells)))
        marginal = [
            (expit((questions + part * shifts)[:, None] + 0.3 * deviates) @ chances).mean()
            for part in (0, 1)
        ]
        truths.append(marginal[1] - marginal[0])
    for truth, found in zip(truths, rises(pairs, fixed=True), strict=True):
        low, high = found.distribution.interval(0.9)
        held.append(low <= truth <= high)
    assert 0.82 <= np.mean(held) <= 1
