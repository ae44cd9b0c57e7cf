"""Two judges on the same answers: what is compared, and that the intervals hold."""

import krippendorff
import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.bridging import (
    Bridge,
    Interval,
    alpha,
    bridges,
    kappa,
    panel_pairs,
    rate_difference,
)
from emgrid.config.judges import Judge
from emgrid.config.sections import Metrics
from sklearn.metrics import cohen_kappa_score

OLD, NEW, COHERENCE = (
    Judge(id=name, measures=measures, kind="rule")
    for name, measures in (("old", "alignment"), ("new", "alignment"), ("sense", "coherence"))
)
CODE, CODE2 = (Judge(id=name, measures="code", kind="rule") for name in ("code", "code2"))
METRICS = Metrics(alignment="old", coherence="sense")
RNG = np.random.default_rng(5)


def table(**columns: list[float | None]) -> pd.DataFrame:
    """Answers with these values; half of them under each of two triggers."""
    n = len(next(iter(columns.values())))
    found = pd.DataFrame({"trigger": ["none"] * (n // 2) + ["cue"] * (n - n // 2)})
    for name, values in columns.items():
        found[name] = pd.array(values, dtype="Float64").to_numpy(float, na_value=np.nan)
        reasons = [None if value is not None else "refusal" for value in values]
        found[f"{name}_reason"] = pd.array(reasons, dtype="string")
    return found


def whole(answers: pd.DataFrame, *judges: Judge, metrics: Metrics = METRICS) -> Bridge:
    old, new = judges or (OLD, NEW)
    return bridges(answers, old, new, metrics, [OLD, NEW, COHERENCE, CODE, CODE2])[0]


def test_alpha_and_kappa_are_those_of_the_packages() -> None:
    old = RNG.integers(0, 101, 300).astype(float)
    new = np.clip(old + RNG.integers(-20, 40, 300), 0, 100).astype(float)
    reference = krippendorff.alpha(np.array([old, new]), level_of_measurement="interval")
    assert alpha(old, new, 0.95).value == pytest.approx(reference)
    sides = old < 30, new < 30
    assert kappa(*sides, 0.95).value == pytest.approx(cohen_kappa_score(*sides))


def test_a_rate_is_that_of_the_whole_rule_under_each_judge() -> None:
    answers = table(
        old=[10, 10, 10, 90, 90, None, 90, 90],
        new=[10, 90, 10, 20, 90, 10, None, 90],
        sense=[90, 90, 10, 90, 90, 90, 90, 90],
    )
    found = whole(answers)
    assert (found.n, found.n_both, found.without_old, found.without_new) == (8, 6, 1, 1)
    assert found.rate_old.value == 2 / 8  # the third is incoherent
    assert found.rate_new.value == 3 / 8
    assert found.rate_shift.value == pytest.approx(1 / 8)
    assert (found.only_old, found.only_new) == (1, 2)
    assert found.shift.value == pytest.approx((80 - 70) / 6)
    parts = bridges(answers, OLD, NEW, METRICS, [OLD, NEW, COHERENCE])[1]
    assert [(part.part, part.n, part.n_both) for part in parts] == [("none", 4, 4), ("cue", 4, 2)]


def test_content_judges_change_which_answers_are_left_out() -> None:
    metrics = METRICS.model_copy(update={"exclude_above": {"code": 50}})
    columns = {"old": [10] * 4, "new": [10] * 4, "sense": [90] * 4}
    answers = table(**columns, code=[100, 0, 0, 0], code2=[0, 100, 100, 0])
    found = whole(answers, CODE, CODE2, metrics=metrics)
    assert (found.rate_old.value, found.rate_new.value) == (3 / 4, 2 / 4)
    free = whole(answers, CODE, CODE2)  # plays no part in the rates: the share that each flags
    assert (free.rate_old.value, free.rate_new.value) == (1 / 4, 2 / 4)


def test_too_few_answers_have_no_interval() -> None:
    found = whole(table(old=[10.0, None], new=[10.0, 20.0], sense=[90.0, 90.0]))
    for interval in (found.alpha, found.kappa, found.shift):
        assert np.isnan(interval).all()
    assert found.rate_shift.low < 0.5 < found.rate_shift.high


def test_perfect_agreement_does_not_make_the_rates_certain() -> None:
    flags = np.arange(40) < 4
    found = rate_difference(flags, flags, 0.95)
    assert found.value == 0
    assert found.low < 0 < found.high
    assert kappa(flags, flags, 0.95) == pytest.approx(Interval(1, 1, 1))


def test_raters_who_give_one_class_throughout_have_no_kappa() -> None:
    none, some = np.zeros(9, bool), np.arange(9) < 3
    assert np.isnan(kappa(none, none, 0.95)).all()
    assert kappa(none, some, 0.95).value == 0


def covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def test_the_intervals_hold_their_level() -> None:
    """Pairs from a known distribution: a latent value, and the noise of each judge."""
    rng, runs, n = np.random.default_rng(11), 1500, 150

    def pairs(number: int) -> tuple[np.ndarray, np.ndarray]:
        latent = rng.normal(55, 25, number)
        return latent + rng.normal(0, 10, number), latent + 6 + rng.normal(0, 15, number)

    old, new = pairs(2_000_000)
    pooled = np.concatenate([old, new])
    truths = {
        "alpha": 1 - np.mean((new - old) ** 2) / (2 * pooled.var()),
        "kappa": cohen_kappa_score(old < 30, new < 30),
        "rates": np.mean(new < 30) - np.mean(old < 30),
    }
    hits = dict.fromkeys(truths, 0)
    for _ in range(runs):
        old, new = pairs(n)
        found = {
            "alpha": alpha(old, new, 0.95),
            "kappa": kappa(old < 30, new < 30, 0.95),
            "rates": rate_difference(old < 30, new < 30, 0.95),
        }
        for name, interval in found.items():
            hits[name] += covers(interval, truths[name])
    assert all(0.93 < count / runs < 0.975 for count in hits.values()), hits


def test_pairs_of_a_panel_measure_the_same() -> None:
    pairs = panel_pairs([OLD, COHERENCE, NEW, CODE, CODE2])
    assert [(old.id, new.id) for old, new in pairs] == [("old", "new"), ("code", "code2")]
