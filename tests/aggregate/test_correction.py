"""Rates corrected for known errors: by hand, by property, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.correction import (
    Errors,
    corrected,
    errors_of,
    informative,
    rogan_gladen,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support.comparing import counted, rate

SUCCESSES = st.lists(
    st.lists(st.integers(0, 6), min_size=4, max_size=4), min_size=1, max_size=3
).map(np.array)
NUMBERS = st.integers(0, 60)


def gladen(observed: float, sensitivity: float, specificity: float) -> float:
    parts = (observed, sensitivity, specificity)
    return float(rogan_gladen(*(np.array(part) for part in parts)))


@pytest.mark.parametrize(
    ("observed", "sensitivity", "specificity", "expected"),
    [
        (0.2, 0.8, 0.9, 0.1 / 0.7),
        (0.31, 0.8, 0.9, 0.3),  # 0.3 * 0.8 + 0.7 * 0.1
        (0.135, 0.8, 0.9, 0.05),  # 0.05 * 0.8 + 0.95 * 0.1
        (0.5, 1.0, 0.75, 1 / 3),
        (0.5, 0.625, 1.0, 0.8),
        (0.0, 1.0, 1.0, 0.0),
        # Fewer than the judge's false positives alone, and more than it could ever find.
        (0.05, 0.8, 0.9, 0.0),
        (0.9, 0.8, 0.9, 1.0),
    ],
)
def test_the_corrected_rate_is_the_one_worked_out_by_hand(
    observed: float, sensitivity: float, specificity: float, expected: float
) -> None:
    assert gladen(observed, sensitivity, specificity) == pytest.approx(expected)


@given(rate=st.floats(0, 1), sensitivity=st.floats(0.5, 1), specificity=st.floats(0.6, 1))
def test_the_true_rate_is_found_again(rate: float, sensitivity: float, specificity: float) -> None:
    observed = rate * sensitivity + (1 - rate) * (1 - specificity)
    assert gladen(observed, sensitivity, specificity) == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.5, 0.5), (0.2, 0.8), (0.1, 0.3)])
def test_a_judge_no_better_than_chance_gives_no_rate(
    sensitivity: float, specificity: float
) -> None:
    assert np.isnan(gladen(0.2, sensitivity, specificity))


def test_errors_are_counted_by_truth_and_prediction() -> None:
    truth = pd.Series([True] * 5 + [False] * 10)
    predicted = pd.Series([True] * 3 + [False] * 2 + [True] * 1 + [False] * 9)
    errors = errors_of(predicted, truth)
    assert errors == Errors(
        true_positives=3, false_negatives=2, true_negatives=9, false_positives=1
    )
    assert (errors.sensitivity, errors.specificity) == (0.6, 0.9)


@settings(max_examples=50)
@given(successes=SUCCESSES, labels=st.integers(20, 10**6))
def test_a_perfect_judge_changes_nothing(
    successes: np.ndarray[tuple[int, int], np.dtype[np.int64]], labels: int
) -> None:
    plain = rate(counted(successes.tolist(), 6))
    found = corrected(plain, Errors(labels, 0, labels, 0), 0.95, 200, 0)
    assert found.value == pytest.approx(plain.value)


def test_the_interval_of_a_judge_known_to_be_perfect_is_that_of_the_rate() -> None:
    estimate = rate(counted([[0, 3, 10, 2, 7, 0, 1, 5]] * 2, 20))
    known = corrected(estimate, Errors(10**9, 0, 10**9, 0), 0.95, 20_000, 0)
    plain = estimate.interval(0.95)
    assert known.low == pytest.approx(plain.low, abs=0.01)
    assert known.high == pytest.approx(plain.high, abs=0.01)


def test_the_fewer_the_labels_the_wider_the_interval() -> None:
    estimate = rate(counted([[4] * 8], 20))
    widths = []
    for scale in (1000, 10, 2):
        found = corrected(estimate, Errors(9 * scale, scale, 9 * scale, scale), 0.95, 2000, 0)
        assert found.value == pytest.approx(0.1 / 0.8)
        widths.append(found.high - found.low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@settings(max_examples=100)
@given(successes=SUCCESSES, hits=NUMBERS, misses=NUMBERS, passes=NUMBERS, alarms=NUMBERS)
def test_the_interval_holds_the_rate_and_lies_between_0_and_1(
    successes: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    hits: int,
    misses: int,
    passes: int,
    alarms: int,
) -> None:
    errors = Errors(hits, misses, passes, alarms)
    found = corrected(rate(counted(successes.tolist(), 6)), errors, 0.95, 200, 0)
    if informative(errors, 0.95):
        assert errors.sensitivity + errors.specificity > 1
        assert 0 <= found.low <= found.value <= found.high <= 1
    else:
        assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize(
    "errors",
    [
        Errors(0, 0, 0, 0),
        Errors(5, 5, 5, 5),
        Errors(0, 10, 10, 0),
        Errors(10, 0, 0, 10),
        Errors(2, 8, 3, 7),
        Errors(10, 0, 0, 0),
        Errors(0, 0, 10, 0),
    ],
)
def test_a_judge_that_labels_do_not_show_to_tell_apart_gives_no_rate(errors: Errors) -> None:
    found = corrected(rate(counted([[1, 2, 3, 4]], 6)), errors, 0.95, 200, 0)
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize("errors", [Errors(3, 2, 3, 2), Errors(11, 9, 11, 9), Errors(2, 1, 20, 20)])
def test_a_judge_that_may_be_no_better_than_chance_gives_no_rate(errors: Errors) -> None:
    assert errors.sensitivity + errors.specificity > 1
    assert not informative(errors, 0.95)
    found = corrected(rate(counted([[3, 3, 3, 3]], 6)), errors, 0.95, 1000, 0)
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize(
    ("successes", "errors"),
    [
        # No answer in 24 was flagged, although a fifth of the fine ones should have been.
        ([[0] * 8], Errors(20, 10, 65, 15)),
        ([[3] * 8], Errors(30, 20, 80, 0)),
    ],
)
def test_few_answers_never_tell_a_rate_exactly(successes: list[list[int]], errors: Errors) -> None:
    found = corrected(rate(counted(successes, 3)), errors, 0.95, 2000, 0)
    assert found.high - found.low > 0.05


def test_no_answer_gives_no_corrected_rate() -> None:
    found = corrected(rate(counted([[0, 0]], 0)), Errors(9, 1, 9, 1), 0.95, 100, 0)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_equal_seeds_give_equal_corrected_intervals() -> None:
    estimate, errors = rate(counted([[0, 1, 2, 3]], 4)), Errors(20, 3, 50, 4)
    assert corrected(estimate, errors, 0.9, 300, 7) == corrected(estimate, errors, 0.9, 300, 7)


@pytest.mark.parametrize(
    ("true", "sensitivity", "specificity"), [(0.05, 0.8, 0.9), (0.3, 0.6, 0.95)]
)
def test_corrected_intervals_cover_the_true_rate_that_uncorrected_ones_miss(
    true: float, sensitivity: float, specificity: float
) -> None:
    rng = np.random.default_rng(2)
    positives, answers, simulations = 60, 50, 300
    hits = plain_hits = 0
    for _ in range(simulations):
        found, cleared = rng.binomial([positives, 200 - positives], [sensitivity, specificity])
        errors = Errors(
            int(found), positives - int(found), int(cleared), 200 - positives - int(cleared)
        )
        bad = rng.binomial(answers, true, size=(1, 8))
        flagged = rng.binomial(bad, sensitivity) + rng.binomial(answers - bad, 1 - specificity)
        observed = rate(counted(flagged.tolist(), answers), trained=False)
        estimate = corrected(observed, errors, 0.95, 500, 0)
        plain = observed.interval(0.95)
        hits += estimate.low <= true <= estimate.high
        plain_hits += plain.low <= true <= plain.high
    assert hits / simulations >= 0.93
    assert plain_hits / simulations < 0.5
