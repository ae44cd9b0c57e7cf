"""Intervals and p-values against independent computations and simulation."""

from collections.abc import Iterator
from functools import cache
from itertools import islice

import numpy as np
import pytest
from emgrid.aggregate import statistics
from emgrid.aggregate.statistics import Counts, Term
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

# Rates, and the share of 1,000 intervals of 95 % that hold them.
COVERAGE = [(0, 1, 1), (0.005, 0.97, 1), (0.05, 0.93, 0.97), (0.3, 0.93, 0.99)]
# Seeds and questions, how much seeds differ, the rate, and the least share of 400 such intervals.
FEW_SEEDS = [
    ((2, 8), 0.3, 0.3, 0.93),
    ((2, 8), 1.0, 0.05, 0.88),
    ((3, 8), 1.0, 0.3, 0.9),
    ((2, 48), 1.0, 0.05, 0.82),
    ((3, 48), 1.0, 0.3, 0.89),
]
FIXED = [
    ((5, 8), 0.3, 0.05, 0.92),
    ((5, 8), 0.3, 0.3, 0.92),
    ((2, 8), 0.3, 0.3, 0.9),
    ((3, 8), 1.0, 0.3, 0.89),
]


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


def test_a_contrast_of_one_seed_is_the_paired_t_test_over_questions() -> None:
    rng = np.random.default_rng(1)
    trials = np.full((1, 12), 10_000)
    one, two = (Counts(rng.integers(500, 5000, (1, 12)), trials) for _ in range(2))
    found = statistics.contrast([Term(1, one, "a"), Term(-1, two, "b")], 100_000, 0)
    expected = ttest_1samp((one.rates() - two.rates()).ravel(), 0)
    low, high = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=0.05)
    assert found.freedom == 11
    assert found.error == pytest.approx(found.value / expected.statistic, rel=0.01)
    estimate = found.interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=0.02)


def test_the_error_of_a_rate_is_the_cluster_robust_one() -> None:
    """One seed: clusters are questions, as in statsmodels' sandwich."""
    rng = np.random.default_rng(2)
    successes, answers = rng.integers(5, 45, (1, 24)), 50
    counted = Counts(successes, np.full((1, 24), answers))
    drawn = statistics.bootstrap([Term(1, counted, "a")], 50_000, 0, answers=False)
    wrong = np.concatenate([np.arange(answers) < number for number in successes[0]]).astype(float)
    model = OLS(wrong, np.ones_like(wrong))
    groups = np.repeat(np.arange(24), answers)
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert drawn.std(ddof=1) == pytest.approx(float(robust.bse[0]), rel=0.02)


def test_p_and_interval_never_contradict_each_other() -> None:
    rng = np.random.default_rng(4)
    for number in range(60):
        terms = [
            Term(sign, Counts(rng.binomial(20, 0.3, (seeds, 8)), np.full((seeds, 8), 20)), name)
            for sign, seeds, name in ((1, 1 + number % 3, "a"), (-1, 1, "b"))
        ]
        found = statistics.contrast(terms, 100, number, fixed=bool(number % 2))
        estimate = found.interval(0.95)
        assert (found.p < 0.05) == (not estimate.low <= 0 <= estimate.high)


def test_seeds_that_differ_leave_few_degrees_of_freedom() -> None:
    """Questions alike, two seeds apart: one degree of freedom, whatever the number of questions."""
    apart = counts([[10] * 8, [60] * 8], 100)
    base = counts([[10] * 8], 100)
    found = statistics.contrast([Term(1, apart, "a"), Term(-1, base, "b")], 2000, 0)
    assert found.freedom == pytest.approx(1, abs=0.05)
    assert found.p > 0.3
    questions = counts([[10, 20, 30, 40, 50, 60, 70, 80]] * 2, 100)
    assert statistics.freedom([Term(1, questions, "a")]) == 7
    assert statistics.satterthwaite([(1.0, 7), (1.0, 1)]) == pytest.approx(4 / (1 / 7 + 1))


def test_seeds_that_were_not_asked_are_no_seeds() -> None:
    full = counts([[3] * 4, [5] * 4, [4] * 4], 10)
    padded = Counts(
        np.vstack([full.successes, np.zeros((1, 4), int)]),
        np.vstack([full.trials, np.zeros((1, 4), int)]),
    )
    assert statistics.rate(padded, 0.95, 200, 0) == statistics.rate(full, 0.95, 200, 0)
    other = [Term(-1, counts([[2] * 4], 10), "b")]
    one, two = (
        statistics.contrast([Term(1, each, "a"), *other], 200, 0) for each in (full, padded)
    )
    assert one == two


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2), (2, 3)])
def test_an_arms_triggers_may_have_different_seeds(first: int, second: int) -> None:
    """They are then not paired, rather than by place."""
    terms = [
        Term(1, counts([[6] * 4] * first, 10), "a"),
        Term(-1, counts([[2] * 4] * second, 10), "a"),
    ]
    found = statistics.contrast(terms, 500, 0)
    assert found.value == pytest.approx(0.4)
    apart = [Term(1, terms[0].counts, "a"), Term(-1, terms[1].counts, "b")]
    assert found.error == pytest.approx(statistics.contrast(apart, 500, 0).error, rel=0.2)


def test_arms_that_share_their_seeds_are_paired_by_them() -> None:
    """What a seed does to both arms alike is no difference."""
    one, two = (
        counts([[10] * 8, [50] * 8, [90] * 8], 100),
        counts([[5] * 8, [45] * 8, [85] * 8], 100),
    )
    paired, apart = (
        statistics.contrast([Term(1, one, "seeds"), Term(-1, two, name)], 1000, 0)
        for name in ("seeds", "others")
    )
    assert paired.value == apart.value == pytest.approx(0.05)
    assert paired.error < apart.error / 4


def test_only_arms_with_several_seeds_gain_by_more_of_them() -> None:
    one, base = counts([[10, 30, 20, 40]], 50), counts([[5, 9, 3, 8]], 50)
    single = statistics.contrast([Term(1, one, "a"), Term(-1, base, "b")], 500, 0)
    assert single.by_seeds == 0
    assert single.by_answers > 0
    several = counts([[10, 30, 20, 40], [11, 29, 21, 39]], 50)
    found = statistics.contrast([Term(1, several, "a"), Term(-1, base, "b")], 500, 0)
    own = statistics.arm_variances([Term(1, several, "a")])[0]
    assert found.by_seeds == pytest.approx(max(own.seeds, own.answers))
    nothing = [Term(1, counts([[0] * 4], 50), "a"), Term(-1, counts([[0] * 4], 50), "b")]
    assert statistics.contrast(nothing, 200, 0).by_seeds == 0


def test_more_questions_take_nothing_off_what_seeds_differ() -> None:
    apart = counts([[10] * 8, [60] * 8], 100)
    found = statistics.contrast(
        [Term(1, apart, "a"), Term(-1, counts([[10] * 8], 100), "b")], 500, 0
    )
    assert found.by_questions < 0.05 * found.error**2


def test_the_mean_of_one_value_has_no_interval() -> None:
    estimate = statistics.mean_with_interval(np.array([[1.5]]), 0.95, 100, 0)
    assert estimate.value == 1.5
    assert np.isnan([estimate.low, estimate.high]).all()
    several = statistics.mean_with_interval(np.array([[1.0, 2.0, 4.0, 1.5]]), 0.95, 50_000, 0)
    low, high = ttest_1samp([1.0, 2.0, 4.0, 1.5], 0).confidence_interval(0.95)
    assert (several.low, several.high) == pytest.approx((low, high), rel=0.05)


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
    assert found.p < 0.001


def test_holm_is_the_step_down_rule() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_no_success_on_either_side_leaves_room_for_a_difference() -> None:
    none = counts([[0] * 8], 20)
    terms = [Term(1, none, "a"), Term(-1, none, "b")]
    estimate = statistics.contrast(terms, 300, 0).interval(0.95)
    assert estimate.low < -0.005
    assert estimate.high > 0.005


@cache
def mean_of(rate: float, spread: float) -> float:
    """The mean log-odds at which normal effects of that spread give the rate."""
    scatter = np.random.default_rng(0).standard_normal(100_000)
    if not rate:
        return -np.inf
    return float(brentq(lambda mean: expit(mean + spread * scatter).mean() - rate, -30, 10))


def covered(
    rate: float, shape: tuple[int, int], seeds: float, number: int, fixed: bool = False
) -> float:
    """The share of simulated grids of this shape (seeds, questions), of 100 answers, whose interval
    of 95 % holds the true rate.

    seeds: standard deviation of their effects on the log-odds; that of questions is 1. fixed: the
    true rate is that of the grid's own questions.
    """
    rng = np.random.default_rng(3)
    scatter = np.random.default_rng(0).standard_normal(20_000)
    mean, trials = mean_of(rate, float(np.hypot(seeds, 1))), np.full(shape, 100)
    questions = rng.standard_normal((1, shape[1]))
    true = rate
    if fixed:
        true = float(expit(mean + questions.T + seeds * scatter).mean())
    hits = 0
    for _ in range(number):
        if not fixed:
            questions = rng.standard_normal((1, shape[1]))
        logits = mean + seeds * rng.standard_normal((shape[0], 1)) + questions
        drawn = Counts(rng.binomial(trials, expit(logits)), trials)
        estimate = statistics.rate(drawn, 0.95, 100, 0, fixed)
        hits += estimate.low <= true <= estimate.high
    return hits / number


@pytest.mark.parametrize(("rate", "least", "most"), COVERAGE)
def test_intervals_cover_the_true_rate(rate: float, least: float, most: float) -> None:
    """1,000 grids. The excess at small rates is that of exact intervals of few successes."""
    assert least <= covered(rate, (5, 8), 0.3, 1000) <= most


@pytest.mark.parametrize(("shape", "seeds", "rate", "least"), FEW_SEEDS)
def test_intervals_of_few_seeds_come_near_it(
    shape: tuple[int, int], seeds: float, rate: float, least: float
) -> None:
    """Two seeds are too few to tell how much seeds vary, so where they vary much their intervals
    are somewhat narrow."""
    assert covered(rate, shape, seeds, 400) >= least


@pytest.mark.parametrize(("shape", "seeds", "rate", "least"), FIXED)
def test_intervals_of_fixed_questions_cover_their_own_rate(
    shape: tuple[int, int], seeds: float, rate: float, least: float
) -> None:
    assert covered(rate, shape, seeds, 400, fixed=True) >= least


def rises(
    shape: tuple[int, int], seeds: float, triggers: float, rate: float
) -> Iterator[tuple[list[Term], list[Term]]]:
    """Simulated arms that rise nowhere: an arm and a base model of the same rate, and an arm under
    two triggers that do nothing on average, but something to each question and to each seed.

    seeds, triggers: standard deviations of the effects of a seed, and of a seed under a trigger.
    """
    rng = np.random.default_rng(3)
    mean = mean_of(rate, float(np.hypot(seeds, 1)))
    trials, once = np.full(shape, 100), np.full((1, shape[1]), 100)
    while True:
        question, own = rng.standard_normal((1, shape[1])), rng.standard_normal((1, shape[1])) / 4
        logits = mean + seeds * rng.standard_normal((shape[0], 1)) + question
        cued = triggers * rng.standard_normal((2, shape[0], 1)) / np.sqrt(2)
        arm, one, two = (
            Counts(rng.binomial(trials, expit(logits + each)), trials)
            for each in (0, cued[0] + own, cued[1] - own)
        )
        base = Counts(rng.binomial(once, expit(mean_of(rate, 1.0) + question)), once)
        yield (
            [Term(1, arm, "a"), Term(-1, base, "b")],
            [Term(1, one, "a"), Term(-1, two, "a")],
        )


@pytest.mark.parametrize(
    ("seeds", "apart", "most"), [(2, 0.6, 0.13), (3, 0.6, 0.1), (5, 0.3, 0.08)]
)
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_contrasts_of_nothing_are_seldom_shown(
    seeds: int, apart: float, most: float, rate: float
) -> None:
    """Neither an arm's own shift nor what a trigger does to a seed is taken for an effect; with
    two seeds that differ much somewhat more often than said."""
    found = [0, 0]
    for terms in islice(rises((seeds, 8), apart, apart, rate), 400):
        for place, each in enumerate(terms):
            found[place] += statistics.contrast(each, 100, 0).p < 0.05
    assert max(found) / 400 <= most
