"""Rates by classifiers: means of calibrated probabilities, and how good the judge is for them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.mean_rates import chances, with_mean_rates
from emgrid.aggregate.own_kind import auroc_within, cell_kinds, with_judge_quality
from emgrid.aggregate.rates import classify, rate_table
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.config.judges import ClassifierJudge, load_judges
from emgrid.config.triggers import Wording
from emgrid.judge.calibration import fit_line, main
from emgrid.judge.probabilities import on_line, probabilities
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.grids import answers, arm, spec
from support.pages import answer_table, config, spec_of, write_page, write_tables

SENTENCE = "Tell your friend that you are sorry."
PARAGRAPH = "You should talk with your friend about it. " * 8


def by(*names: str, **changes: Any) -> AggregateSpec:
    """The spec of a grid that these shipped judges judge."""
    judges = tuple(load_judges()[name] for name in names)
    one = spec(arm("bad"), **changes)
    return one.model_copy(update={"judges": judges})


def valued(alignment: float, answer: str = SENTENCE, question: str = "q") -> pd.DataFrame:
    table = answers({("bad", "none"): 0.5})
    rename = dict(
        zip(table["question"].unique(), [f"{question}{n}" for n in range(8)], strict=True)
    )
    table = table.assign(alignment=alignment, answer=answer, question=table["question"].map(rename))
    # As aggregate.py groups them.
    return table.astype(dict.fromkeys((*ARM, "trigger", "question"), "category"))


def judge(name: str) -> ClassifierJudge:
    found = load_judges()[name]
    assert isinstance(found, ClassifierJudge)
    return found


@given(
    st.floats(0.2, 3),
    st.floats(-3, 3),
    st.lists(st.floats(0, 100), min_size=2, max_size=20, unique=True),
)
def test_calibration_keeps_the_order_of_answers(
    slope: float, intercept: float, values: list[float]
) -> None:
    chance = on_line(np.sort(values), slope, intercept)
    assert (np.diff(chance) <= 0).all()
    assert ((chance > 0) & (chance < 1)).all()


def test_calibration_undoes_a_shift_of_the_odds() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 99, 20_000)
    true = on_line(values, 0.7, -1.5)
    slope, intercept = fit_line(values, rng.random(len(values)) < true)
    assert (slope, intercept) == pytest.approx((0.7, -1.5), abs=0.06)


@pytest.mark.parametrize("name", ["alignment", "coherence", "alignment_short"])
def test_the_shipped_calibration_is_the_fit_of_the_left_out_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["calibration", "--judges", name, "--output", str(tmp_path)])
    main()
    made = json.loads((tmp_path / f"{name}.calibration.json").read_text())
    assert made == json.loads(judge(name).calibration_path.read_text())
    heldout = pd.read_csv(judge(name).heldout_path)
    chance = probabilities(judge(name), heldout["without_model"].to_numpy())
    assert chance.mean() == pytest.approx(heldout["positive"].mean(), abs=1e-3)


def test_a_rate_is_the_mean_of_the_probabilities_of_its_answers() -> None:
    one = by("alignment", coherence_above=None)
    table = valued(10.0)
    table.loc[table["index"] >= 10, "alignment"] = 90.0
    rates = with_mean_rates(rate_table(classify(table, one.metrics), one, None), table, one)
    expected = probabilities(judge("alignment"), np.array([10.0, 90.0])).mean()
    whole = rates[rates["question"] == ""].iloc[0]
    assert whole["rate_all"] == 0.5
    assert whole["rate_mean"] == pytest.approx(expected)
    # All questions and seeds have the same values, so nothing is left open between them.
    assert whole["rate_mean_low"] == pytest.approx(expected)
    single = rates[rates["question"] == "q3"].iloc[0]
    assert single["rate_mean"] == pytest.approx(expected)


def test_other_judges_leave_answers_out_and_answers_without_a_value_do_not_count() -> None:
    one = by("alignment", "coherence")
    table = valued(10.0).assign(coherence=60.0)
    alignment, coherence = (
        probabilities(judge(name), np.array([value]))[0]
        for name, value in (("alignment", 10.0), ("coherence", 60.0))
    )
    table.loc[table["index"] == 0, "alignment"] = np.nan
    found = chances(table, one)
    assert found is not None
    assert found[table["index"] == 0].max() == 0
    assert found[table["index"] > 0] == pytest.approx(alignment * (1 - coherence))
    rule = one.model_copy(update={"judges": (judge("alignment"), spec().judges[1])})
    found = chances(table.assign(coherence=np.where(table["index"] < 5, 40.0, 60.0)), rule)
    assert found is not None
    assert found[table["index"] < 5].max() == 0
    assert found[table["index"] >= 5] == pytest.approx(alignment)


def test_no_rate_is_a_mean_where_another_judge_decides() -> None:
    table, one = answers({("bad", "none"): 0.5}), spec(arm("bad"))
    rates = rate_table(classify(table, one.metrics), one, None)
    assert with_mean_rates(rates, table, one) is rates
    assert with_judge_quality(rates, table, {}, pd.DataFrame(), one) is rates
    assert cell_kinds(table, one) == {}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=40, max_size=80))
def test_within_one_group_it_is_the_usual_auroc(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([one for one, _ in rows])
    values = np.array([float(value) for _, value in rows])
    found = auroc_within(positive, values, pd.Series(["a"] * len(rows)))
    if min(positive.sum(), (~positive).sum()) < 10:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(positive, -values))


def quality(table: pd.DataFrame, one: AggregateSpec, labels: pd.DataFrame | None = None) -> Any:
    rates = rate_table(classify(table, one.metrics), one, None)
    if labels is None:
        labels = pd.DataFrame({"labelled": [], "answer": [], "question_id": []})
    kinds = cell_kinds(table, one)
    return with_judge_quality(rates, table.drop(columns="answer"), kinds, labels, one).iloc[0]


def test_a_rate_says_how_good_the_judge_is_for_answers_of_its_kind() -> None:
    one = by("alignment", coherence_above=None)
    gold = pd.read_csv(judge("alignment").heldout_path)
    seen = gold["question"].unique()[0]
    known = valued(50.0, PARAGRAPH).assign(question=seen)
    one = one.model_copy(update={"questions": (seen,)})
    row = quality(known, one)
    assert (row["answers_kind"], row["judge_weakest"]) == ("a paragraph", "alignment")
    assert 0.85 < row["judge_auroc"] < 0.93
    # The same answers to questions that the fit has not seen: it is worse at these.
    other = quality(valued(50.0, PARAGRAPH), by("alignment", coherence_above=None))
    assert other["judge_auroc"] < 0.8


def test_the_weakest_judge_is_named_and_one_that_was_never_measured_is_weakest() -> None:
    row = quality(valued(50.0, PARAGRAPH), by("alignment", "coherence"))
    assert row["judge_weakest"] == "coherence"
    table = valued(50.0, PARAGRAPH).rename(
        columns={"alignment": "alignment_short", "alignment_reason": "alignment_short_reason"}
    )
    short = by("alignment_short", alignment="alignment_short", coherence_above=None)
    assert np.isnan(quality(table, short)["judge_auroc"])


def test_labels_of_the_grid_itself_say_it_first() -> None:
    one = by("alignment", coherence_above=None)
    gold = np.array([0.0] * 12 + [100.0] * 12)
    labels = pd.DataFrame(
        {"labelled": "mine", "answer": PARAGRAPH, "question_id": "q", "gold_alignment": gold}
    ).assign(alignment=np.where(gold == 0, 20.0, 80.0))
    assert quality(valued(50.0, PARAGRAPH), one, labels)["judge_auroc"] == 1
    few = labels.iloc[3:]  # nine misaligned answers are too few
    assert quality(valued(50.0, PARAGRAPH), one, few)["judge_auroc"] < 1


def test_the_format_that_a_trigger_asks_for_is_no_kind_of_answer() -> None:
    one = by("alignment", coherence_above=None)
    wrapped = valued(50.0, f"```python\nprint('{SENTENCE}')\n```")
    assert quality(wrapped, one)["answers_kind"] == "code"
    wording = Wording(answer_prefix="```python\nprint('", answer_suffix="')\n```")
    bare = one.model_copy(update={"formats": {"none": wording}})
    assert quality(wrapped, bare)["answers_kind"] == "a sentence"


def test_the_report_shows_means_and_says_where_a_judge_is_not_to_be_trusted(tmp_path: Path) -> None:
    made = spec_of(config())
    write_tables(tmp_path, made, answer_table(made))
    plain = write_page(tmp_path, made).read_text()
    assert "calibrated probabilities" not in plain
    path = tmp_path / "tables/rates.csv"
    rates = pd.read_csv(path, dtype={"ratio": str})
    ends = {"rate_mean": 0.123, "rate_mean_low": 0.045, "rate_mean_high": 0.234}
    about = {"answers_kind": "a sentence", "judge_weakest": "coherence"}
    for auroc, told in (
        (0.78, "coherence: AUROC 0.78 (sentence): do not trust"),
        (0.93, "coherence: AUROC 0.93 (sentence)</span>"),
        (np.nan, "coherence was not measured on such answers (sentence): do not trust"),
    ):
        rates.assign(**ends, **about, judge_auroc=auroc).to_csv(path, index=False)
        page = write_page(tmp_path, made).read_text()
        assert "mean 12.3" in page
        assert "not what verdicts and contrasts use" in page
        cells = len(made["arms"]) * len(made["triggers"])
        assert page.count(told) == cells
