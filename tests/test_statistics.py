"""Intervals and p-values against independent computations and simulation."""

import itertools

import numpy as np
import pytest
from emgrid import statistics
from emgrid.statistics import Counts, Term
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom


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


def test_zero_successes_have_the_exact_upper_bound() -> None:
    estimate = statistics.rate(counts([[0] * 8] * 2, 3), 0.95, 500, 0)
    assert estimate.low == 0
    # The bound at which no success in 48 answers has a probability of 2.5 %.
    assert binom.cdf(0, 48, estimate.high) == pytest.approx(0.025)


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
    estimate, p = statistics.contrast([Term(1, same, "a"), Term(-1, same, "a")], 0.95, 300, 0)
    assert estimate.value == 0
    assert estimate.low < 0 < estimate.high
    assert p == 1


def test_a_difference_in_differences_subtracts_the_base_models_rise() -> None:
    arm, none = counts([[4] * 8, [4] * 8], 4), counts([[0] * 8, [0] * 8], 4)
    base, base_none = counts([[1] * 8], 4), counts([[0] * 8], 4)
    terms = [Term(1, arm, "a"), Term(-1, none, "a"), Term(-1, base, "b"), Term(1, base_none, "b")]
    estimate, p = statistics.contrast(terms, 0.95, 500, 0)
    assert estimate.value == pytest.approx(0.75)
    assert 0 < estimate.low <= 0.75 <= estimate.high
    assert p == pytest.approx(2 / 2**8)


def test_holm_is_the_step_down_rule() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.3])
def test_intervals_cover_the_true_rate(rate: float) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        # Questions differ: logits spread around the overall rate, which is their exact mean.
        rates = np.clip(rate * rng.gamma(2, 0.5, size=(1, 8)), 0, 1)
        drawn = Counts(rng.binomial(10, np.repeat(rates, 3, axis=0)), np.full((3, 8), 10))
        estimate = statistics.rate(drawn, 0.95, 300, 0)
        hits += estimate.low <= rate <= estimate.high
    assert hits / 200 >= 0.88  # 200 draws of 95 % stay above this with near certainty
