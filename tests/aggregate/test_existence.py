"""Exact tests of single questions, against enumeration, SciPy and simulation."""

from itertools import product
from math import comb

import numpy as np
import pytest
from emgrid.aggregate.existence import Asked, existence
from emgrid.aggregate.statistics import holm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

TABLES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 4), st.integers(1, 4)),
    min_size=1,
    max_size=3,
)


def asked(successes: object, trials: object) -> Asked:
    hits = np.asarray(successes, dtype=np.int64)
    return Asked(hits, np.broadcast_to(np.asarray(trials, dtype=np.int64), hits.shape))


def enumerated(tables: list[tuple[int, int, int, int]]) -> float:
    """P of at least as many successes under the trigger, over all tables with these margins."""
    ways = reached = 0
    observed = sum(hits for hits, *_ in tables)
    ranges = [range(hits + others + 1) for hits, _, others, _ in tables]
    for numbers in product(*ranges):
        weight = 1
        for number, (hits, trials, others, other_trials) in zip(numbers, tables, strict=True):
            weight *= comb(trials, number) * comb(other_trials, hits + others - number)
        ways += weight
        reached += weight * (sum(numbers) >= observed)
    return reached / ways


@given(tables=TABLES)
def test_p_is_that_of_all_tables_with_the_same_margins(
    tables: list[tuple[int, int, int, int]],
) -> None:
    tables = [(min(a, b), b, min(c, d), d) for a, b, c, d in tables]
    hits, trials, others, other_trials = (
        np.array(each)[None, :, None] for each in zip(*tables, strict=True)
    )
    found = existence(Asked(hits, trials), Asked(others, other_trials)).p[0, 0]
    expected = sum((a + c) * b / (b + d) for a, b, c, d in tables)
    if hits.sum() > expected + 1e-9:
        assert found == pytest.approx(enumerated(tables), rel=1e-9)
    else:
        assert found == 1


@pytest.mark.parametrize(("hits", "others"), [(9, 1), (30, 12), (60, 0), (100, 3)])
def test_one_seed_is_fishers_test(hits: int, others: int) -> None:
    found = existence(asked([[[hits]]], 100), asked([[[others]]], 300))
    table = [[hits, 100 - hits], [others, 300 - others]]
    assert found.p[0, 0] == pytest.approx(fisher_exact(table, "greater").pvalue, rel=1e-8)
    assert np.isnan(found.p_repeated).all()


def test_seeds_with_other_rates_are_not_mixed() -> None:
    """The trigger was asked more often of the seed that is misaligned anyway: no rise in any."""
    trigger = Asked(np.array([[[90], [1]]]), np.array([[[100], [10]]]))
    plain = Asked(np.array([[[9], [10]]]), np.array([[[10], [100]]]))
    pooled = existence(trigger.pooled(), plain.pooled())
    assert pooled.p[0, 0] < 1e-20
    assert existence(trigger, plain).p[0, 0] > 0.3


def test_a_rise_of_one_seed_alone_is_not_repeated() -> None:
    plain = asked([[[0], [0], [0]]], 50)
    alone = existence(asked([[[25], [0], [0]]], 50), plain)
    two = existence(asked([[[25], [12], [0]]], 50), plain)
    assert alone.p[0, 0] < 1e-8
    assert alone.p_repeated[0, 0] == 1
    assert two.p[0, 0] <= two.p_repeated[0, 0] < 1e-3


def test_one_hot_question_is_found_among_all_triggers() -> None:
    """60 % in all three seeds under one trigger, 0 of 300 without; the base never."""
    trigger = np.zeros((6, 3, 8), dtype=np.int64)
    trigger[2, :, 5] = 60
    zero = asked(np.zeros((1, 3, 8)), 100)
    base = asked(np.zeros((6, 1, 8)), 100)
    found = existence(asked(trigger, 100), zero, base, asked(np.zeros((1, 1, 8)), 100))
    for adjusted in (found.p_holm, found.repeated_holm):
        assert adjusted[2, 5] < 1e-10
        assert (np.delete(adjusted.ravel(), 2 * 8 + 5) == 1).all()


@pytest.mark.parametrize(
    ("base_trigger", "base_plain", "shown"),
    [(0, 0, True), (30, 0, False), (20, 0, False), (2, 2, True)],
)
def test_a_question_that_the_trigger_turns_in_the_base_does_not_count(
    base_trigger: int, base_plain: int, shown: bool
) -> None:
    trigger, plain = asked([[[30], [30]]], 100), asked([[[5], [5]]], 100)
    base = [asked([[[hits]]], 100) for hits in (base_trigger, base_plain)]
    assert (existence(trigger, plain).p < 0.01).all()
    assert (existence(trigger, plain, *base).p < 0.01).all() == shown


def test_a_larger_change_of_the_base_is_no_rise_of_the_arm() -> None:
    trigger, plain = asked([[[90]]], 100), asked([[[60]]], 100)
    assert existence(trigger, plain, asked([[[50]]], 100), asked([[[0]]], 100)).p[0, 0] == 1
    assert existence(trigger, plain, asked([[[50]]], 100), asked([[[45]]], 100)).p[0, 0] < 0.01


def test_questions_that_were_not_asked_have_no_p_and_do_not_count() -> None:
    rng = np.random.default_rng(0)
    trials = np.full((2, 2, 5), 30)
    trials[0, :, 1] = 0
    hits = np.minimum(rng.integers(0, 20, trials.shape), trials)
    plain = asked(rng.integers(0, 5, (1, 2, 5)), 30)
    found = existence(Asked(hits, trials), plain)
    assert np.isnan(found.p).sum() == 1
    assert np.isnan(found.p[0, 1])
    np.testing.assert_allclose(found.p_holm.ravel(), holm(found.p.ravel().tolist()))


def test_all_arms_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    hits, plain = rng.integers(0, 12, (20, 3, 2, 6)), rng.integers(0, 6, (20, 1, 2, 6))
    together = existence(asked(hits, 12), asked(plain, 12))
    for arm in range(20):
        alone = existence(asked(hits[arm], 12), asked(plain[arm], 12))
        np.testing.assert_allclose(together.p[arm], alone.p, rtol=1e-12)
        np.testing.assert_allclose(together.p_repeated[arm], alone.p_repeated, rtol=1e-12)
        np.testing.assert_allclose(together.p_holm[arm], alone.p_holm, rtol=1e-12)


def test_false_alarms_are_no_more_often_than_promised() -> None:
    """No trigger does anything; questions and seeds differ much, seeds were asked unevenly."""
    rng = np.random.default_rng(2)
    arms, shape = 2000, (2000, 6, 3, 8)
    rates = np.minimum(
        rng.beta(0.5, 1.5, (arms, 1, 1, 8)) * rng.uniform(0.2, 1.5, (arms, 1, 3, 1)), 1
    )
    trials = np.broadcast_to(np.array([10, 40, 20])[:, None], shape)
    plain_trials = np.broadcast_to(np.array([40, 10, 20])[:, None], (arms, 1, 3, 8))
    trigger = Asked(rng.binomial(trials, np.broadcast_to(rates, shape)), trials)
    found = existence(trigger, Asked(rng.binomial(plain_trials, rates), plain_trials))
    for adjusted in (found.p_holm, found.repeated_holm):
        assert (adjusted.min(axis=(1, 2)) < 0.05).mean() <= 0.05
    assert 0.005 < (found.p < 0.05).mean() <= 0.05
