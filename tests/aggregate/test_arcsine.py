"""The crossed analysis of variance on the arcsine scale, against other implementations."""

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.arcsine import Signed, angles, crossed, filled
from emgrid.aggregate.statistics import Counts
from scipy.stats import ttest_1samp
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm


def drawn(seed: int, seeds: int, questions: int = 8, trials: int = 60) -> tuple[Counts, Counts]:
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 1, questions) + rng.normal(0, 0.7, (2, seeds, 1))
    cells = rng.binomial(trials, 1 / (1 + np.exp(-odds)))
    first, second = (Counts(cell, np.full(cell.shape, trials)) for cell in cells)
    return first, second


def test_angles_have_the_variance_of_their_trials() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.1, 0.5, 0.8):
        successes = rng.binomial(40, rate, (1, 20_000))
        found = angles(Counts(successes, np.full(successes.shape, 40)))
        assert found.var() == pytest.approx(1 / 162, rel=0.05)
        assert found.mean() == pytest.approx(np.arcsin(np.sqrt(rate)), abs=0.01)


def test_one_seed_is_the_paired_t_test_of_the_angles() -> None:
    plain, trigger = drawn(1, 1)
    found = crossed([Signed(1, trigger, "arm"), Signed(-1, plain, "arm")])
    expected = ttest_1samp((angles(trigger) - angles(plain)).ravel(), 0)
    assert found.p == pytest.approx(expected.pvalue)
    greater = ttest_1samp((angles(trigger) - angles(plain)).ravel(), 0, alternative="greater")
    assert found.p_one_sided == pytest.approx(greater.pvalue)
    assert found.freedom == pytest.approx(7)


def test_the_error_is_that_of_the_mean_squares() -> None:
    plain, trigger = drawn(2, 4)
    found = crossed([Signed(1, trigger, "arm"), Signed(-1, plain, "arm")])
    apart = angles(trigger) - angles(plain)
    seeds, questions = apart.shape
    table = pd.DataFrame(
        {
            "angle": apart.ravel(),
            "seed": np.repeat(np.arange(seeds), questions),
            "question": np.tile(np.arange(questions), seeds),
        }
    )
    squares = anova_lm(ols("angle ~ C(seed) + C(question)", table).fit())["mean_sq"]
    by_seed, by_question, rest = squares / apart.size
    assert by_seed > rest
    variance = by_seed - rest + by_question
    assert found.error == pytest.approx(np.sqrt(variance))
    degrees = by_seed**2 / 3 + rest**2 / 21 + by_question**2 / 7
    assert found.freedom == pytest.approx(variance**2 / degrees)


def test_a_difference_to_another_arm_pairs_the_questions() -> None:
    """Questions that move both arms alike cancel; seeds of both arms count."""
    plain, trigger = drawn(3, 3)
    terms = [Signed(1, trigger, "one"), Signed(-1, plain, "one")]
    twice = [*terms, Signed(-1, trigger, "two"), Signed(1, plain, "two")]
    found, none = crossed(terms), crossed(twice)
    assert none.value == pytest.approx(0)
    assert none.p == pytest.approx(1)
    assert 0 < none.error < np.sqrt(2) * found.error
    back = crossed([term._replace(sign=-term.sign) for term in terms])
    assert back.value == pytest.approx(-found.value)
    assert back.p_one_sided == pytest.approx(1 - found.p_one_sided)


def test_missing_cells_are_those_of_the_additive_fit() -> None:
    additive = np.array([[0.1], [0.4]]) + np.array([0.2, 0.0, 0.7])
    holed = additive.copy()
    holed[1, 2] = np.nan
    assert filled(holed) == pytest.approx(additive)
    plain, trigger = drawn(4, 3)
    trials = trigger.trials.copy()
    trials[0, :4] = 0
    part = Counts(np.minimum(trigger.successes, trials), trials)
    found = crossed([Signed(1, part, "arm"), Signed(-1, plain, "arm")])
    assert np.isfinite([found.value, found.error, found.p]).all()
    trials[0] = 0
    gone = Counts(np.minimum(trigger.successes, trials), trials)
    two = [Counts(each.successes[1:], each.trials[1:]) for each in (trigger, plain)]
    assert crossed([Signed(1, gone, "arm"), Signed(-1, plain, "arm")]) == crossed(
        [Signed(1, two[0], "arm"), Signed(-1, two[1], "arm")]
    )


def test_equal_tables_are_no_certainty() -> None:
    """Zero successes everywhere: no difference, with the error of the answers."""
    none = Counts(np.zeros((2, 8), dtype=int), np.full((2, 8), 50))
    found = crossed([Signed(1, none, "arm"), Signed(-1, none, "arm")])
    assert found.p == 1
    assert found.error == pytest.approx(np.sqrt(2 * 16 / 202) / 16)


def test_fixed_questions_leave_seeds_and_answers() -> None:
    plain, trigger = drawn(5, 3)
    terms = [Signed(1, trigger, "arm"), Signed(-1, plain, "arm")]
    fixed = crossed(terms, fixed=True)
    means = (angles(trigger) - angles(plain)).mean(axis=1)
    assert fixed.error == pytest.approx(means.std(ddof=1) / np.sqrt(3))
    assert fixed.freedom == pytest.approx(2)
    one = [
        Signed(term.sign, Counts(term.counts.successes[:1], term.counts.trials[:1]), "arm")
        for term in terms
    ]
    assert crossed(one, fixed=True).error == pytest.approx(np.sqrt(2 * 8 / 242) / 8)


def test_size_and_power_by_simulation() -> None:
    rng = np.random.default_rng(6)
    shares = []
    for shift in (0.0, 2.0):
        p = []
        for _ in range(300):
            odds = rng.normal(-3, 1.5, 8) + 0.3 * rng.normal(size=(3, 1))
            under = odds + shift + 0.5 * rng.normal(size=8) + 0.2 * rng.normal(size=(3, 1))
            cells = [rng.binomial(100, 1 / (1 + np.exp(-each))) for each in (under, odds)]
            counted = [Counts(cell, np.full((3, 8), 100)) for cell in cells]
            p.append(crossed([Signed(1, counted[0], "a"), Signed(-1, counted[1], "a")]).p_one_sided)
        shares.append(float(np.mean(np.array(p) < 0.05)))
    assert 0.005 <= shares[0] <= 0.09
    assert shares[1] >= 0.9
