"""Rates and contrasts: what holds of them whatever the model, and coverage by simulation."""

from itertools import pairwise

import numpy as np
import pytest
from emgrid.aggregate.estimates import Side
from emgrid.aggregate.statistics import Counts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import beta
from support.comparing import compare, compare_all, counted, rate, side

CELLS = st.lists(
    st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=3
)  # fmt: skip


def padded(counts: Counts) -> Counts:
    """The counts with one more seed, which was not asked."""
    nothing = np.zeros((1, counts.trials.shape[1]), int)
    return Counts(np.vstack([counts.successes, nothing]), np.vstack([counts.trials, nothing]))


# Rates.


@settings(max_examples=50)
@given(cells=CELLS, fixed=st.booleans())
def test_a_rate_is_inside_its_interval(cells: list[list[int]], fixed: bool) -> None:
    counts = counted(cells, 5)
    estimate = rate(counts, fixed).interval(0.95)
    assert estimate.value == pytest.approx(counts.successes.sum() / counts.trials.sum())
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high > estimate.low


@pytest.mark.parametrize("fixed", [False, True])
def test_zero_successes_have_a_one_sided_interval(fixed: bool) -> None:
    none, every = (rate(counted([[number] * 8] * 2, 3), fixed).interval(0.95) for number in (0, 3))
    assert none.low == 0
    assert 0 < none.high < 0.3
    assert every.high == 1
    assert 0.6 < every.low < 1


def test_independent_answers_have_the_exact_interval() -> None:
    """To one question by a model without seeds: that of a beta distribution (Clopper and Pearson's
    bound of no success)."""
    estimate = rate(counted([[7]], 40), trained=False).interval(0.95)
    low, high = beta(8, 34).interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.01)
    none = rate(counted([[0] * 8], 6), fixed=True, trained=False).interval(0.95)
    assert (1 - none.high) ** 48 == pytest.approx(0.025, abs=0.01)


def test_questions_that_differ_make_the_interval_wider() -> None:
    even, uneven = counted([[5] * 8], 20), counted([[20, 20, 0, 0, 0, 0, 0, 0]], 20)
    one, two = (rate(each, trained=False).interval(0.95) for each in (even, uneven))
    assert one.value == two.value == 0.25
    assert two.high - two.low > 2 * (one.high - one.low)


@pytest.mark.parametrize("fixed", [False, True])
def test_seeds_that_differ_make_the_interval_wider(fixed: bool) -> None:
    alike, apart = counted([[10] * 8] * 3, 40), counted([[1] * 8, [9] * 8, [20] * 8], 40)
    one, two = (rate(each, fixed).interval(0.95) for each in (alike, apart))
    assert one.value == two.value
    assert two.high - two.low > 1.5 * (one.high - one.low)


def test_fixed_questions_make_the_interval_narrower() -> None:
    counts = counted([[20, 18, 0, 1, 0, 2, 0, 9]] * 3, 20)
    free, fixed = (rate(counts, each).interval(0.95) for each in (False, True))
    assert fixed.value == free.value
    assert fixed.high - fixed.low < (free.high - free.low) / 1.5


def test_more_answers_make_the_interval_narrower() -> None:
    widths = []
    for times in (1, 4, 16):
        estimate = rate(counted([[1 * times] * 8] * 2, 10 * times), fixed=True).interval(0.95)
        widths.append(estimate.high - estimate.low)
    assert widths == sorted(widths, reverse=True)


def test_no_answer_gives_no_rate() -> None:
    estimate = rate(counted([[0, 0]], 0)).interval(0.95)
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()


def test_questions_and_seeds_without_answers_are_left_out() -> None:
    gap = Counts(np.array([[2, 0, 1]]), np.array([[4, 0, 4]]))
    full = Counts(np.array([[2, 1]]), np.array([[4, 4]]))
    for fixed in (False, True):
        one, two, three = (rate(each, fixed).interval(0.95) for each in (full, gap, padded(full)))
        assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))
        assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))


@pytest.mark.parametrize("spread", [1.0, 2.0])
@pytest.mark.parametrize("mean", [-4.5, -2.5, -1.0])
def test_intervals_of_rates_hold_the_true_rate(mean: float, spread: float) -> None:
    """200 grids of three seeds and eight questions."""
    rng = np.random.default_rng(5)
    scatter = rng.standard_normal(100_000)
    true = expit(mean + np.hypot(spread, 0.3) * scatter).mean()
    cells = []
    for _ in range(200):
        logits = mean + spread * rng.standard_normal((1, 8)) + 0.3 * rng.standard_normal((3, 1))
        trials = np.full((3, 8), 100)
        cells.append(Counts(rng.binomial(trials, expit(logits)), trials))
    intervals = [rate(each).interval(0.95) for each in cells]
    assert np.mean([each.low <= true <= each.high for each in intervals]) >= 0.9


# Contrasts.

ONE, BASE = counted([[10, 30, 20, 40]] * 2, 50), counted([[5, 9, 3, 8]], 50)


@pytest.mark.parametrize("fixed", [False, True])
def test_p_and_interval_never_contradict_each_other(fixed: bool) -> None:
    rng = np.random.default_rng(4)
    comparisons = []
    for number in range(60):
        high = (0.3, 0.5, 0.7, 0.9)[number % 4]
        arms = [rng.binomial(20, each, (seeds, 8)) for each, seeds in ((high, 1 + number % 3),
                                                                       (0.3, 1))]  # fmt: skip
        names = ("arm", "base" if number % 2 else "other")
        comparisons.append([side(Counts(each, np.full(each.shape, 20)), name)
                            for each, name in zip(arms, names, strict=True)])  # fmt: skip
    found = compare_all(comparisons, fixed)
    shown = [each.p < 0.05 for each in found]
    assert shown == [not each.low <= 0 <= each.high for each in found]
    assert [each.p_rise < 0.05 for each in found] == [each.lower > 0 for each in found]
    assert 5 < sum(shown) < 55


def test_p_for_a_rise_is_one_sided() -> None:
    up = compare(side(ONE), side(BASE, "base"))
    assert up.p_rise == pytest.approx(up.p / 2)
    down = compare(side(counted([[5, 9, 3, 8]] * 2, 50)), side(counted([[10, 30, 20, 40]], 50)))
    assert down.p_rise == pytest.approx(1 - down.p / 2)
    assert down.p_rise > 0.9


@pytest.mark.parametrize("fixed", [False, True])
def test_seeds_that_were_not_asked_are_no_seeds(fixed: bool) -> None:
    full = counted([[3] * 4, [5] * 4, [4] * 4], 10)
    other = side(counted([[2] * 4], 10), "base")
    # Contrasts are made of the seeds that were asked; one without answers may still be among them.
    one, two = (compare(side(each), other, fixed=fixed) for each in (full, padded(full)))
    for name in ("value", "low", "high", "p", "upper"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=0.02, abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2), (2, 3)])
def test_an_arms_triggers_may_have_different_seeds(first: int, second: int) -> None:
    cued, plain = counted([[6] * 4] * first, 10), counted([[2] * 4] * second, 10)
    together = compare(side(cued), side(plain))
    apart = compare(side(cued), side(plain, seeds=range(10, 10 + second)))
    assert together.value == apart.value == pytest.approx(0.4)
    assert together.p < 0.1
    assert together.error == pytest.approx(apart.error, rel=0.5)


@pytest.mark.parametrize("name", ["arm", "other"])
@pytest.mark.parametrize("fixed", [False, True])
def test_cells_that_share_their_seeds_are_paired_by_them(name: str, fixed: bool) -> None:
    """What a seed does to both alike is no difference: triggers of an arm, two arms whose seeds
    start alike."""
    one = side(counted([[15] * 8, [50] * 8, [85] * 8], 100))
    two = counted([[10] * 8, [45] * 8, [80] * 8], 100)
    paired, apart = (
        compare(one, side(two, name, seeds), fixed=fixed) for seeds in ((0, 1, 2), (3, 4, 5))
    )
    assert paired.value == apart.value == pytest.approx(0.05)
    assert paired.error < apart.error / 1.5


def test_seeds_that_differ_make_a_contrast_less_sure() -> None:
    base = side(counted([[10] * 8], 100), "base")
    alike, apart = (
        compare(side(counted(table, 100)), base) for table in ([[35] * 8] * 2, [[10] * 8, [60] * 8])
    )
    assert alike.value == apart.value
    assert apart.error > 1.2 * alike.error
    assert apart.p > 2 * alike.p


def test_equal_rates_have_p_one() -> None:
    same = side(counted([[1, 0, 2], [0, 1, 1]], 4))
    for fixed in (False, True):
        found = compare(same, same, fixed=fixed)
        assert found.value == 0
        assert found.low < 0 < found.high
        assert found.p == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("fixed", [False, True])
def test_the_base_models_rise_is_taken_off(fixed: bool) -> None:
    arm = [side(counted([[number] * 8] * 2, 40)) for number in (30, 0)]
    base, hot = (
        [side(counted([[number] * 8], 40), "base") for number in numbers]
        for numbers in ((10, 0), (30, 0))
    )
    found = compare(*arm, *base, fixed=fixed)
    assert found.value == pytest.approx(0.5)
    assert 0 < found.low <= 0.5 <= found.high
    assert found.p < 0.01
    none = compare(*arm, *hot, fixed=fixed)
    assert none.value == 0
    assert none.p > 0.5
    assert compare(*arm, fixed=fixed).p < 1e-3


@pytest.mark.parametrize("fixed", [False, True])
def test_no_success_on_either_side_leaves_room_for_a_difference(fixed: bool) -> None:
    none = counted([[0] * 8], 20)
    found = compare(side(none), side(none, "base"), fixed=fixed)
    assert found.value == 0
    assert found.low < -0.001
    assert found.high > 0.001
    assert found.upper > 0.005


@settings(max_examples=25)
@given(cells=CELLS, fixed=st.booleans())
def test_bounds_are_around_the_difference(cells: list[list[int]], fixed: bool) -> None:
    found = compare(side(counted(cells, 5)), side(counted([[1, 0, 2, 0]], 5), "base"), fixed=fixed)
    assert found.low <= found.lower <= found.value <= found.upper
    assert found.value <= found.high
    assert 0 < found.p_rise < 1


# All-zero tables: questions, seeds, and numbers of answers to each question that are compared.
NUMBERS = (1, 2, 3, 5, 8, 12, 20, 50, 150, 400, 1000)
ROUNDING = 1e-12


@pytest.mark.parametrize("shape", [(1, 8), (2, 8), (3, 24), (3, 48), (1, 64)])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("four", [False, True])
def test_asking_less_never_shows_more(shape: tuple[int, int], fixed: bool, four: bool) -> None:
    """No answer is misaligned; the arm or the base model was asked less."""

    def sides(answers: int, base_answers: int) -> list[Side]:
        arm = side(counted(np.zeros(shape, int), answers))
        base = side(counted(np.zeros((1, shape[1]), int), base_answers), "base")
        return [arm, arm, base, base] if four else [arm, base]

    for comparisons in (
        [sides(number, number) for number in NUMBERS],
        [sides(20, number) for number in NUMBERS],
        [sides(number, 20) for number in NUMBERS],
    ):
        bounds = [each.upper for each in compare_all(comparisons, fixed)]
        assert all(more <= less + ROUNDING for less, more in pairwise(bounds))


def simulated(
    rng: np.random.Generator, means: tuple[float, float], shape: tuple[int, int]
) -> tuple[Side, ...]:
    """An arm under a trigger and without, and a base model under both, which has the mean log-odds
    of the plain arm. Questions differ by 1.5, seeds by 0.3; under the trigger by 0.5 and 0.2 more.
    """
    questions = 1.5 * rng.standard_normal((1, shape[1]))
    seeds = 0.3 * rng.standard_normal((shape[0], 1))
    cued = 0.5 * rng.standard_normal((1, shape[1])) + 0.2 * rng.standard_normal((shape[0], 1))
    plain, own = means[0] + questions + seeds, means[1] + questions + seeds + cued
    base = means[0] + questions
    base_cued = base + 0.5 * rng.standard_normal((1, shape[1]))
    found = []
    for logits, name in ((own, "arm"), (plain, "arm"), (base_cued, "base"), (base, "base")):
        trials = np.full(logits.shape, 100)
        found.append(side(Counts(rng.binomial(trials, expit(logits)), trials), name))
    return tuple(found)


def true_change(means: tuple[float, float]) -> float:
    """What the trigger adds to the arm's rate beyond the base model's, over all questions and
    seeds."""
    scatter = np.random.default_rng(0).standard_normal(200_000)
    spread = np.hypot(1.5, 0.3)
    plain, own, base, base_cued = (
        expit(mean + each * scatter).mean()
        for mean, each in (
            (means[0], spread),
            (means[1], np.hypot(spread, np.hypot(0.5, 0.2))),
            (means[0], 1.5),
            (means[0], np.hypot(1.5, 0.5)),
        )
    )
    return float(own - plain - (base_cued - base))


@pytest.mark.parametrize(("means", "power"), [((-4.0, -4.0), 0), ((-4.0, -1.0), 0.9)])
def test_changes_beyond_the_base_models_are_covered(
    means: tuple[float, float], power: float
) -> None:
    """120 grids of three seeds, eight questions and 100 answers; the size of p is kept."""
    rng = np.random.default_rng(6)
    found = compare_all([simulated(rng, means, (3, 8)) for _ in range(120)])
    true = true_change(means)
    assert np.mean([each.low <= true <= each.high for each in found]) >= 0.9
    shown = np.mean([each.p_rise < 0.05 for each in found])
    assert shown >= power
    if not power:
        assert shown <= 0.1
