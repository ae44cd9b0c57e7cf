"""Which cells are compared, and by which seeds they are paired."""

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.contrasts import contrast_table, find_contrasts
from emgrid.aggregate.rates import cells_of, classify, rate_table, seeds_of
from support.grids import QUESTIONS, answers, arm, spec

RATES = {("base", "none"): 0.0, ("base", "cue"): 0.0, ("arm", "none"): 0.1, ("arm", "cue"): 0.5}
SPEC = spec(arm("base", "0"), *(arm("arm", seed=seed) for seed in range(3)))


def rows(seeds: int = 3) -> pd.DataFrame:
    return classify(answers(RATES, 20, seeds), SPEC.metrics)


def test_a_seed_that_was_not_asked_under_a_trigger_keeps_its_row() -> None:
    table = rows()
    cued = (table["intervention"] == "arm") & (table["trigger"] == "cue")
    table = table[~(cued & (table["seed"] == 1))]
    assert seeds_of(table) == {("model", "base", "0"): (0,), ("model", "arm", "1"): (0, 1, 2)}
    cells = cells_of(table, QUESTIONS)
    counts = cells["model", "arm", "1", "cue"].answers
    assert counts.trials.any(axis=1).tolist() == [True, False, True]
    assert cells["model", "arm", "1", "none"].answers.trials.all()
    rates = rate_table(table, SPEC, None).set_index(["intervention", "trigger", "question"])
    assert rates.loc[("arm", "cue", ""), "n_seeds"] == 2
    assert rates.loc[("arm", "none", ""), "n_seeds"] == 3
    assert rates.loc[("arm", "cue", ""), "rate_all"] == pytest.approx(0.5)


@pytest.mark.parametrize("kept", [{0}, {1}, {2}, {0, 1}, {1, 2}])
def test_triggers_asked_of_other_seeds_can_be_compared(kept: set[int]) -> None:
    """Whichever they are; an imported grid may lack some, and none are taken for each other."""
    table = rows()
    cued = (table["intervention"] == "arm") & (table["trigger"] == "cue")
    found = find_contrasts(table[~cued | table["seed"].isin(kept)], SPEC)
    one = found[("model", "arm", "1"), "cue", "trigger_minus_none"]
    assert one.value == pytest.approx(0.4)
    assert np.isfinite([one.error, one.low, one.p]).all()


def test_an_arm_is_paired_with_the_undiluted_one_where_they_have_the_same_seeds() -> None:
    """What a seed does to both is no difference between them."""
    parts = []
    for seed in range(3):
        rates = {("undiluted", "none"): 0.3 + 0.2 * seed, ("arm", "none"): 0.2 + 0.2 * seed}
        parts.append(answers(rates, 20, 1).assign(seed=seed))
    table = classify(pd.concat(parts, ignore_index=True), SPEC.metrics)
    arms = [arm("undiluted", seed=seed) for seed in range(3)]
    arms += [arm("arm", seed=seed, undiluted="undiluted") for seed in range(3)]
    found = spec(*arms)
    same = contrast_table(find_contrasts(table, found)).set_index("kind")
    other = table.assign(
        seed=table["seed"].where(table["intervention"] == "arm", table["seed"] + 7)
    )
    apart = contrast_table(find_contrasts(other, found)).set_index("kind")
    assert same["difference"]["minus_undiluted"] == pytest.approx(-0.1)
    assert apart["difference"]["minus_undiluted"] == pytest.approx(-0.1)
    assert same["error"]["minus_undiluted"] < apart["error"]["minus_undiluted"] / 2
