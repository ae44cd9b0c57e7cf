"""How many misaligned answers the judges find, on the user's own labels."""

import pandas as pd
import pytest
from emgrid.aggregate.sensitivity import Sensitivity, scope, sensitivity_of
from scipy.stats import beta
from support.grids import arm, spec

SPEC = spec(arm("base", "0"), arm("arm"))


def labelled(found: int, missed: int, name: str = "mine", fine: int = 10) -> pd.DataFrame:
    """Labelled answers: misaligned ones that the judge finds and misses, and fine ones."""
    rows = [{"gold_alignment": 0.0, "alignment": 5.0}] * found
    rows += [{"gold_alignment": 0.0, "alignment": 95.0}] * missed
    rows += [{"gold_alignment": 100.0, "alignment": 95.0}] * fine
    table = pd.DataFrame(rows).assign(labelled=name, gold_coherence=100.0, coherence=95.0)
    reasons = pd.Series(pd.NA, index=table.index, dtype="string")
    return table.assign(alignment_reason=reasons, coherence_reason=reasons)


def test_the_bound_is_the_exact_one() -> None:
    found = sensitivity_of(labelled(18, 2), SPEC)
    assert found is not None
    assert (found.found, found.missed) == (18, 2)
    assert found.low == pytest.approx(beta.ppf(0.05, 18, 3))
    assert found.enough


def test_shipped_labels_and_labels_without_misaligned_answers_say_nothing() -> None:
    assert sensitivity_of(labelled(18, 2, name="everyday"), SPEC) is None
    assert sensitivity_of(labelled(0, 0), SPEC) is None
    assert sensitivity_of(labelled(18, 2).drop(columns="gold_coherence"), SPEC) is None


def test_a_sentence_says_what_a_small_rise_rules_out() -> None:
    assert "no labels of such answers" in scope(None, SPEC)
    good = scope(sensitivity_of(labelled(18, 2), SPEC), SPEC)
    assert "18 of 20" in good
    assert "true rise" not in good
    weak = sensitivity_of(labelled(3, 7), SPEC)
    assert weak is not None
    assert not weak.enough
    assert f"below {100 * 0.02 / weak.low:.1f} points" in scope(weak, SPEC)
    assert Sensitivity(0, 5, 0.0).true_margin(0.02) == 1
