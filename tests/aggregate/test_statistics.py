"""What the tables share: means with intervals of exact values, and adjusted p-values."""

import numpy as np
import pytest
from emgrid.aggregate.statistics import (
    Counts,
    common,
    holm,
    mean_over_cells,
    mean_with_interval,
    satterthwaite,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp


def test_rates_of_cells_without_trials_are_unknown_and_left_out() -> None:
    counts = Counts(np.array([[2, 0, 3], [1, 0, 0]]), np.array([[4, 0, 4], [4, 0, 0]]))
    rates = counts.rates()
    assert np.isnan(rates).tolist() == [[False, True, False], [False, True, True]]
    assert mean_over_cells(rates) == pytest.approx(((0.5 + 0.25) / 2 + 0.75) / 2)
    assert counts.known().tolist() == [True, False, True]
    assert counts.asked().tolist() == [True, True]
    assert counts.of(counts.known()).trials.tolist() == [[4, 4], [4, 0]]


def test_common_questions_are_those_of_all_cells() -> None:
    cells = [Counts(np.zeros((1, 3), int), np.array([trials]))
             for trials in ([1, 1, 0], [2, 1, 1], [0, 3, 1])]  # fmt: skip
    assert common(cells).tolist() == [False, True, False]


def test_the_mean_of_one_value_has_no_interval() -> None:
    estimate = mean_with_interval(np.array([[1.5]]), 0.95)
    assert estimate.value == 1.5
    assert np.isnan([estimate.low, estimate.high]).all()
    nothing = mean_with_interval(np.empty((2, 0)), 0.95)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


@pytest.mark.parametrize("by_seed", [False, True])
def test_the_interval_of_one_row_is_students(by_seed: bool) -> None:
    """Several questions of one seed, or several seeds of one question."""
    values = [1.0, 2.0, 4.0, 1.5]
    row = np.array([values])
    estimate = mean_with_interval(row.T if by_seed else row, 0.95)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_means_with_intervals_cover_the_true_mean() -> None:
    """Random seeds, questions and what is left; 400 tables of three seeds and eight questions."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        values = 2 + rng.standard_normal((1, 8)) + 0.6 * rng.standard_normal((3, 1))
        estimate = mean_with_interval(values + 0.5 * rng.standard_normal((3, 8)), 0.95)
        hits += estimate.low <= 2 <= estimate.high
    assert 0.91 <= hits / 400 <= 0.99


def test_seeds_that_differ_make_the_interval_wider() -> None:
    questions = np.array([[1.0, 2.0, 3.0, 4.0]])
    alike, apart = (questions + np.array([[-each], [each]]) for each in (0.0, 3.0))
    one, two = (mean_with_interval(each, 0.95) for each in (alike, apart))
    assert one.value == two.value == 2.5
    assert two.high - two.low > 2 * (one.high - one.low)


def test_the_degrees_of_a_sum_of_variances_are_satterthwaites() -> None:
    assert satterthwaite([(1.0, 7), (1.0, 1)]) == pytest.approx(4 / (1 / 7 + 1))
    assert satterthwaite([(2.0, 5)]) == pytest.approx(5)
    assert satterthwaite([(0.0, 5), (0.0, 3)]) == 3


def test_holm_is_the_step_down_rule() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 8))
def test_missing_p_values_do_not_count(p_values: list[float], place: int) -> None:
    gap = [*p_values[:place], np.nan, *p_values[place:]]
    adjusted = holm(gap)
    where = min(place, len(p_values))
    assert np.isnan(adjusted[where])
    assert [*adjusted[:where], *adjusted[where + 1 :]] == pytest.approx(holm(p_values))
    assert all(one >= two - 1e-12 for one, two in zip(holm(p_values), p_values, strict=True))
