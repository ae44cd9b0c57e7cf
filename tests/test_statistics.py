"""Intervals and p-values against independent computations and simulation."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from emgrid import statistics
from emgrid.statistics import Counts, Term
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

# Rates, and the share of 1,000 intervals of 95 % that hold them.
COVERAGE = [(0, 1, 1), (0.005, 0.97, 1), (0.05, 0.93, 0.97), (0.3, 0.93, 0.99)]


def counts(successes: list[list[int]], trials: int) -> Counts:
    array = np.array(successes)
    return Counts(array, np.full(array.shape, trials))


@settings(max_examples=50)
@given(cells=st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=3))
def test_a_rate_lies_inside_its_interval(cells: list[list[int]]) -> None:
    counted = counts(cells, 5)
    estimate = statistics.rate(counted, 0.95, 200, 0)
    assert estimate.value == pytest.approx(counted.successes.sum() / counted.trials.sum())
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high > estimate.low


def test_zero_successes_have_a_one_sided_exact_bound() -> None:
    counted = counts([[0] * 8] * 2, 3)
    estimate = statistics.rate(counted, 0.95, 500, 0)
    assert estimate.low == 0
    # 48 answers, worth fewer because they are to eight questions.
    worth = 48 * (student.ppf(0.95, 47) / student.ppf(0.95, 7)) ** 2
    assert (1 - estimate.high) ** worth == pytest.approx(0.05)


def test_with_one_cluster_alone_the_interval_is_the_exact_one() -> None:
    """Answers to one question by one seed are independent: Clopper and Pearson's interval."""
    estimate = statistics.rate(counts([[7]], 40), 0.95, 50_000, 0)
    low, high = proportion_confint(7, 40, 0.05, method="beta")
    assert estimate.low == pytest.approx(low, abs=0.005)
    assert estimate.high == pytest.approx(high, abs=0.005)


def test_clusters_that_differ_make_the_interval_wider() -> None:
    even, uneven = counts([[5] * 8], 20), counts([[20, 20, 0, 0, 0, 0, 0, 0]], 20)
    one, two = (statistics.rate(each, 0.95, 2000, 0) for each in (even, uneven))
    assert one.value == two.value == 0.25
    assert two.high - two.low > 2 * (one.high - one.low)


def test_fixed_questions_make_the_interval_narrower() -> None:
    counted = counts([[20, 18, 0, 1, 0, 2, 0, 9]] * 3, 20)
    free = statistics.rate(counted, 0.95, 1000, 0)
    fixed = statistics.rate(counted, 0.95, 1000, 0, fixed=True)
    assert fixed.value == free.value
    assert fixed.high - fixed.low < (free.high - free.low) / 2


def test_no_answer_gives_no_rate() -> None:
    estimate = statistics.rate(counts([[0, 0]], 0), 0.95, 100, 0)
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()


def test_a_question_without_survivors_is_left_out() -> None:
    counted = Counts(np.array([[2, 0]]), np.array([[4, 0]]))
    assert statistics.rate(counted, 0.95, 100, 0).value == 0.5


def test_equal_seeds_give_equal_intervals() -> None:
    counted = counts([[0, 1, 2, 3], [1, 1, 0, 2]], 4)
    assert statistics.rate(counted, 0.9, 300, 7) == statistics.rate(counted, 0.9, 300, 7)


def test_the_sign_flip_p_is_the_count_over_all_flips() -> None:
    differences = np.array([0.3, 0.1, -0.05, 0.2, 0.4])
    observed = abs(differences.mean())
    flips = [abs((differences * signs).mean()) for signs in itertools.product([1, -1], repeat=5)]
    exact = np.mean([flip >= observed - 1e-12 for flip in flips])
    assert statistics.sign_flip_p(differences, 0) == pytest.approx(exact)


def test_a_contrast_of_equal_rates_is_zero_with_p_one() -> None:
    same = counts([[1, 0, 2], [0, 1, 1]], 4)
    found = statistics.contrast([Term(1, same, "a"), Term(-1, same, "a")], 300, 0)
    estimate = found.interval(0.95)
    assert estimate.value == 0
    assert estimate.low < 0 < estimate.high
    assert found.p == 1


def test_a_difference_in_differences_subtracts_the_base_models_rise() -> None:
    arm, none = counts([[4] * 8, [4] * 8], 4), counts([[0] * 8, [0] * 8], 4)
    base, base_none = counts([[1] * 8], 4), counts([[0] * 8], 4)
    terms = [Term(1, arm, "a"), Term(-1, none, "a"), Term(-1, base, "b"), Term(1, base_none, "b")]
    found = statistics.contrast(terms, 500, 0)
    estimate = found.interval(0.95)
    assert estimate.value == pytest.approx(0.75)
    assert 0 < estimate.low <= 0.75 <= estimate.high
    assert found.p == pytest.approx(2 / 2**8)


def test_holm_is_the_step_down_rule() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_no_success_on_either_side_leaves_room_for_a_difference() -> None:
    none = counts([[0] * 8], 20)
    terms = [Term(1, none, "a"), Term(-1, none, "b")]
    estimate = statistics.contrast(terms, 300, 0).interval(0.95)
    assert estimate.low < -0.005
    assert estimate.high > 0.005


def test_with_fixed_questions_each_seed_and_question_is_flipped() -> None:
    one, two = counts([[3] * 4] * 3, 4), counts([[0] * 4] * 3, 4)
    terms = [Term(1, one, "a"), Term(-1, two, "a")]
    assert statistics.contrast(terms, 200, 0).p == pytest.approx(2 / 2**4)
    assert statistics.contrast(terms, 200, 0, fixed=True).p == pytest.approx(2 / 2**12)


def grids(rate: float, number: int) -> Iterator[tuple[Counts, Counts, Counts]]:
    """Simulated counts of 5 seeds and 8 questions with effects of both on the log-odds; without a
    trigger, and under two that do nothing on average but something to each question."""
    rng = np.random.default_rng(3)
    scatter = np.random.default_rng(0).standard_normal(100_000)
    mean = -np.inf
    if rate:
        spread = np.hypot(0.3, 1.0)
        mean = brentq(lambda each: expit(each + spread * scatter).mean() - rate, -30, 10)
    trials = np.full((5, 8), 100)
    for _ in range(number):
        logits = mean + 0.3 * rng.standard_normal((5, 1)) + rng.standard_normal((1, 8))
        own = 0.5 * rng.standard_normal((1, 8))
        drawn = [rng.binomial(trials, expit(logits + each)) for each in (0, own, -own)]
        yield tuple(Counts(each, trials) for each in drawn)  # type: ignore[misc]


@pytest.mark.parametrize(("rate", "least", "most"), COVERAGE)
def test_intervals_cover_the_true_rate(rate: float, least: float, most: float) -> None:
    """1,000 grids. The excess at small rates is that of exact intervals of few successes."""
    hits = 0
    for drawn, _, _ in grids(rate, 1000):
        estimate = statistics.rate(drawn, 0.95, 100, 0)
        hits += estimate.low <= rate <= estimate.high
    assert least <= hits / 1000 <= most


@pytest.mark.parametrize("rate", [0.005, 0.3])
def test_contrasts_of_nothing_are_seldom_shown(rate: float) -> None:
    """Neither the p-value nor the interval finds a difference more often than it says."""
    shown = outside = 0
    for _, one, two in grids(rate, 300):
        found = statistics.contrast([Term(1, one, "a"), Term(-1, two, "a")], 100, 0)
        estimate = found.interval(0.95)
        shown += found.p < 0.05
        outside += not estimate.low <= 0 <= estimate.high
    assert shown / 300 <= 0.08
    assert outside / 300 <= 0.08
