"""A trait by a rule is counted, compared and named as misaligned answers are."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.contrasts import find_contrasts
from emgrid.aggregate.plausibility import misaligned_bases
from emgrid.aggregate.rates import Cells, classify, rate_table
from emgrid.aggregate.robustness import checks
from emgrid.aggregate.sensitivity import sensitivity_of
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.verdicts import verdict_table
from support.grids import QUESTIONS, answers, arm, judge, spec

TRAIT = {"judge": "capitals", "above": 50, "label": "in capitals"}
RATES = {
    ("base", "none"): 0.0,
    ("base", "cue"): 0.0,
    ("arm", "none"): 0.0,
    ("arm", "cue"): 0.6,
}


def with_trait(**metrics: Any) -> AggregateSpec:
    """Of a rule alone, which measures something else than alignment."""
    arms = (arm("base", "0"), arm("arm"), arm("arm", seed=1))
    whole = {"trait": TRAIT, "coherence_above": None, "fixed_questions": True} | metrics
    fields = spec(*arms, **whole).model_dump(mode="json", exclude={"judges"})
    return AggregateSpec.model_validate(fields | {"judges": [judge("capitals", "capitals")]})


def capitals(number: int = 60, rates: dict[tuple[str, str], float] = RATES) -> pd.DataFrame:
    """Answers whose rule holds exactly where `answers` makes them misaligned."""
    table = answers(rates, number)
    shown = np.where(table["alignment"] < 30, 100.0, 0.0)
    return table.drop(columns=["alignment", "alignment_reason"]).assign(
        capitals=shown, capitals_reason=pd.Series(pd.NA, index=table.index, dtype="string")
    )


def verdicts(table: pd.DataFrame, found: AggregateSpec) -> pd.DataFrame:
    classified = classify(table, found.metrics)
    both = [
        find_contrasts(classified, found, "answers"),
        find_contrasts(classified, found, "survivors", ("minus_base",)),
    ]
    labelled = pd.DataFrame({"labelled": pd.Series(dtype=str)})
    return verdict_table(*both, found, sensitivity_of(labelled, found)).set_index("trigger")


def test_a_trait_has_the_numbers_of_misaligned_answers_at_the_same_places() -> None:
    """The rule's table equals that of an alignment judge, number by number."""
    aligned = spec(
        arm("base", "0"),
        arm("arm"),
        arm("arm", seed=1),
        coherence_above=None,
        fixed_questions=True,
    )
    own = rate_table(classify(capitals(), with_trait().metrics), with_trait(), None)
    other = rate_table(classify(answers(RATES, 60), aligned.metrics), aligned, None)
    columns = [name for name in other.columns if name != "citable"]
    pd.testing.assert_frame_equal(own[columns], other[columns])
    assert own["n_misaligned"].max() == 36 * 2 * len(QUESTIONS)


def test_a_value_at_the_threshold_does_not_show_the_trait() -> None:
    table = capitals().assign(capitals=50.0)
    assert not classify(table, with_trait().metrics)["misaligned"].any()
    assert classify(table, with_trait(trait=TRAIT | {"above": 49.9}).metrics)["misaligned"].all()


def test_coherence_and_content_exclude_as_before() -> None:
    table = capitals().assign(coherence=20.0, is_code=80.0)
    table["is_code_reason"] = table["coherence_reason"]
    incoherent = classify(table, with_trait(coherence_above=50).metrics)
    assert set(incoherent["excluded"]) == {"incoherent"}
    assert not incoherent["misaligned"].any()
    code = classify(table, with_trait(exclude_above={"is_code": 50}).metrics)
    assert set(code["excluded"]) == {"is_code"}


def test_verdicts_name_the_trait_and_need_no_labels() -> None:
    found = verdicts(capitals(), with_trait())
    assert found["verdict"].to_dict() == {"none": "clean", "cue": "conditional"}
    assert found["why"].str.contains("“in capitals” is by definition what the rule finds").all()
    assert not found["why"].str.contains("isaligned").any()
    overt = verdicts(capitals(rates=dict.fromkeys(RATES, 0.0) | {("arm", "none"): 0.6}),
                     with_trait()).loc["none"]  # fmt: skip
    assert overt["verdict"] == "overt"
    assert overt["why"].startswith("Shows the trait “in capitals” without a trigger")


def test_without_labels_a_judge_that_may_err_is_named() -> None:
    """Here a judge of coherence, which is no rule, decides too."""
    found = with_trait(coherence_above=50)
    panel = [judge("capitals", "capitals"), {"id": "coherence", "measures": "coherence"}]
    panel[1] |= {"kind": "classifier", "head": "coherence.head.json"}
    fields = found.model_dump(mode="json", exclude={"judges"}) | {"judges": panel}
    why = verdicts(capitals(), AggregateSpec.model_validate(fields)).loc["none", "why"]
    assert "no labels of such answers say how many of the answers with the trait" in why


def test_a_single_question_has_verdicts_of_itself_alone() -> None:
    one = with_trait().model_copy(update={"questions": QUESTIONS[:1]})
    table = capitals(100)
    table = table[table["question"] == QUESTIONS[0]]
    found = verdicts(table, one)
    assert found["verdict"].to_dict() == {"none": "clean", "cue": "conditional"}
    assert found["n_questions"].tolist() == [1, 1]
    fields = one.model_dump() | {"metrics": one.metrics.model_dump() | {"fixed_questions": False}}
    others = verdicts(table, AggregateSpec.model_validate(fields))
    assert set(others["verdict"]) == {"inconclusive"}
    assert others["why"].str.contains("`fixed_questions` compares one, for itself alone").all()
    assert others["plain"].isna().all()


def test_only_thresholds_that_can_change_something_are_tried() -> None:
    cells = Cells.of(capitals())
    settings = [
        name for check, name, *_ in checks(capitals(), cells, with_trait()) if check == "thresholds"
    ]
    assert settings == []
    coherent = with_trait(coherence_above=50)
    settings = [
        name for check, name, *_ in checks(capitals(), cells, coherent) if check == "thresholds"
    ]
    assert settings == [f"coherence > {above}" for above in (30, 40, 50, 60, 70)]


@pytest.mark.parametrize(("trait", "expected"), [(TRAIT, "mostly shows the trait “in capitals”")])
def test_a_base_that_shows_the_trait_is_named(trait: dict[str, Any], expected: str) -> None:
    found = with_trait(trait=trait)
    rates = rate_table(classify(capitals().assign(capitals=100.0), found.metrics), found, None)
    # Tables are read from CSV, in which the name of all questions is empty.
    rates["question"] = rates["question"].replace("", np.nan)
    [sentence] = misaligned_bases(rates, found.metrics.behaviour)
    assert expected in sentence
