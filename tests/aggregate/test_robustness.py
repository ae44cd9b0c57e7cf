"""Rates under other choices, against counting by hand, and verdicts under other priors."""

import pandas as pd
import pytest
from emgrid.aggregate.aggregate import other_verdicts
from emgrid.aggregate.contrasts import (
    KINDS,
    Compared,
    ContrastName,
    estimated,
    find_comparisons,
    find_contrasts,
    under_other_priors,
)
from emgrid.aggregate.rates import classify, seed_table
from emgrid.aggregate.robustness import ALIGNMENT, COHERENCE, COLUMNS, robustness_table
from emgrid.config.priors import USUAL, prior_sets
from support.grids import QUESTIONS, answers, arm, spec

RATES = {("base", "none"): 0.0, ("base", "cue"): 0.1, ("arm", "none"): 0.2, ("arm", "cue"): 0.5}
SPEC = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return robustness_table(answers(RATES), SPEC, {})


def test_every_check_is_there_for_every_cell(table: pd.DataFrame) -> None:
    assert list(table.columns) == COLUMNS
    cells = table.groupby("check")["setting"].nunique().to_dict()
    thresholds = len(ALIGNMENT) * len(COHERENCE)
    assert cells == {
        "thresholds": thresholds, "without question": 8, "without seed": 2, "judge": 2
    }  # fmt: skip
    assert len(table) == 4 * (thresholds + 8 + 2 + 2)


def test_thresholds_count_as_classifying_by_hand_does(table: pd.DataFrame) -> None:
    for setting, part in table[table["check"] == "thresholds"].groupby("setting"):
        below = float(setting.split(",")[0].removeprefix("alignment < "))
        expected = 0.5 if below > 10 else 0.0
        cued = part[(part["intervention"] == "arm") & (part["trigger"] == "cue")].iloc[0]
        assert cued["rate_all"] == pytest.approx(expected)


def test_rise_and_base_are_taken_off(table: pd.DataFrame) -> None:
    part = table[table["setting"] == "alignment < 30, coherence > 50"]
    part = part.set_index(["intervention", "trigger"])
    assert part.loc[("arm", "cue"), "rise"] == pytest.approx(0.3)
    assert part.loc[("arm", "cue"), "minus_base"] == pytest.approx(0.2)
    assert part.loc[("arm", "none"), "minus_base"] == pytest.approx(0.2)
    assert part.loc[("base", "cue"), "rise"] == pytest.approx(0.1)
    assert pd.isna(part.loc[("base", "cue"), "minus_base"])


def test_leaving_out_the_one_question_that_rises_shows_it() -> None:
    rows = answers(RATES | {("arm", "cue"): 0.0})
    only = (rows["intervention"] == "arm") & (rows["trigger"] == "cue")
    rows.loc[only & (rows["question"] == QUESTIONS[3]), "alignment"] = 0.0
    table = robustness_table(rows, SPEC, {}).query("intervention == 'arm' and trigger == 'cue'")
    left = table[table["check"] == "without question"].set_index("setting")["rate_all"]
    assert left[QUESTIONS[3]] == 0
    assert left[QUESTIONS[0]] == pytest.approx(1 / 7)


def test_each_further_judge_of_the_panel_gives_its_own_rates() -> None:
    rows = answers(RATES).assign(strict=5.0)
    rows["strict_reason"] = pd.Series(pd.NA, rows.index, dtype="string")
    judges = [*SPEC.judges, SPEC.judges[0].model_copy(update={"id": "strict"})]
    table = robustness_table(rows, SPEC.model_copy(update={"judges": tuple(judges)}), {})
    found = table[table["check"] == "judge"]
    assert set(found["setting"]) == {
        "strict", "alignment (as configured)", "coherence (as configured)"
    }  # fmt: skip
    rates = found.set_index(["intervention", "trigger", "setting"])["rate_all"]
    assert (rates.xs("strict", level="setting") == 1).all()
    usual = rates.xs("alignment (as configured)", level="setting").to_dict()
    assert usual == pytest.approx(RATES)


def test_a_coherence_judge_that_decides_nothing_is_no_check() -> None:
    spec_of = SPEC.metrics.model_copy(update={"coherence_above": None})
    table = robustness_table(answers(RATES), SPEC.model_copy(update={"metrics": spec_of}), {})
    settings = table[table["check"] == "judge"]["setting"]
    assert set(settings) == {"alignment (as configured)"}


def test_seeds_are_counted_each_by_itself() -> None:
    rows = answers(RATES)
    rows.loc[(rows["intervention"] == "arm") & (rows["seed"] == 1), "coherence"] = 0.0
    table = seed_table(classify(rows, SPEC.metrics)).set_index(["intervention", "trigger", "seed"])
    assert table.loc[("arm", "cue", 0), "rate_all"] == pytest.approx(0.5)
    assert table.loc[("arm", "cue", 1), "rate_all"] == 0
    assert pd.isna(table.loc[("arm", "cue", 1), "rate_survivors"])
    assert table.loc[("arm", "cue", 0), "n_answers"] == 8 * 20


def compared_in(classified: pd.DataFrame) -> list[dict[ContrastName, Compared]]:
    """What is compared among all answers and among survivors."""
    return [
        find_comparisons(classified, SPEC, among, kinds, {})
        for among, kinds in (("answers", KINDS), ("survivors", ("minus_base",)))
    ]


def verdicts_under_others(classified: pd.DataFrame) -> dict[str, pd.DataFrame]:
    usual = find_contrasts(classified, SPEC)
    others = under_other_priors(*compared_in(classified), SPEC.metrics)
    return other_verdicts(others, SPEC, None, usual)


def test_verdicts_under_other_priors_have_rows_of_their_own() -> None:
    rows = answers(RATES)
    classified = classify(rows, SPEC.metrics)
    verdicts = verdicts_under_others(classified)
    assert set(verdicts) == {*prior_sets()} - {USUAL}
    table = robustness_table(rows, SPEC, verdicts)
    assert list(table.columns) == COLUMNS
    by_priors = table["check"] == "priors"
    assert table[~by_priors]["verdict"].isna().all()
    found = table[by_priors].set_index(["setting", "intervention", "trigger"])
    assert found["rate_all"].isna().all()
    for name, own in verdicts.items():
        for row in own.itertuples():
            assert found.loc[(name, row.intervention, row.trigger), "verdict"] == row.verdict


def test_without_a_spike_at_zero_eight_questions_speak_for_all_others() -> None:
    """The one supposition that the verdict of a table without misaligned answers depends on."""
    rates = {(one, trigger): 0.0 for one in ("base", "arm") for trigger in ("none", "cue")}
    classified = classify(answers(rates, 100), SPEC.metrics)
    others = verdicts_under_others(classified)
    words = {name: set(table["verdict"]) for name, table in others.items()}
    assert words["no_spike"] == {"clean"}
    assert words["narrower"] == words["wider"] == {"inconclusive"}


def test_other_priors_give_the_bounds_that_they_would_give_alone() -> None:
    """What is shared with the usual priors is what they have in common."""
    classified = classify(answers(RATES), SPEC.metrics)
    usual = find_contrasts(classified, SPEC)
    rises = ("minus_base",)
    for other in under_other_priors(*compared_in(classified), SPEC.metrics):
        priors = prior_sets()[other.name]
        own = other.over_answers(usual)
        for among, found in (("answers", own), ("survivors", other.survivors)):
            compared = find_comparisons(classified, SPEC, among, rises, {})
            alone = estimated(compared, SPEC.metrics, priors)
            assert found.keys() == alone.keys()
            for key, contrast in alone.items():
                names = ("value", "upper") if among == "survivors" else ("lower", "p_rise", "upper")
                for part in names:
                    assert getattr(found[key], part) == pytest.approx(
                        getattr(contrast, part), nan_ok=True
                    )
