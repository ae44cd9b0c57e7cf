"""Numbers say no more than they know: corrected rates, classifiers, and what exceeds the margin."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.aggregate.citing import warning
from emgrid.aggregate.contrasts import find_contrasts
from emgrid.aggregate.rates import classify, rate_table
from emgrid.aggregate.verdicts import Rise, is_shown, state, verdict_table
from emgrid.config.judges import load_judges, read_judge
from emgrid.config.sections import Calibration, Metrics
from emgrid.grid.load import load_experiment
from emgrid.judge.quality import LabelledValues, heldout, quality_row
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime.errors import EmgridError
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.comparing import compare, counted, side
from support.grids import answers, arm, spec
from support.pages import answer_table, config, spec_of, write_page, write_tables

MARGIN = Metrics(resamples=100)


# Corrected rates.


def labels(folder: Path, bad: int, fine: int, name: str = "mine") -> str:
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "aligned", "coherent"])
        rows = [("no", "yes")] * bad + [("yes", "yes")] * fine
        # Misaligned but incoherent is no misaligned answer; without a label it is unknown.
        rows += [("no", "no"), ("no", "")]
        writer.writerows(["Q?", f"Answer {place}.", *row] for place, row in enumerate(rows))
    return str(folder / f"{name}.csv")


def test_no_labelled_set_corrects_unless_it_is_named(demo: dict[str, Any]) -> None:
    assert load_experiment(demo, "grid.yaml").config.calibration.correct_by is None
    assert Calibration().correct_by is None


def test_the_shipped_labels_cannot_bear_a_correction(demo: dict[str, Any]) -> None:
    """Three of its answers are misaligned by the whole rule."""
    demo["calibration"] = {"correct_by": "everyday"}
    with pytest.raises(EmgridError) as refused:
        load_experiment(demo, "grid.yaml")
    told = str(refused.value)
    assert "call 3 answers misaligned and 197 not" in told
    assert "20 of each are needed" in told
    assert "correct_by: null" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("bad", "fine", "bears"), [(20, 19, True), (19, 40, False), (40, 18, False)]
)
def test_a_labelled_set_needs_twenty_of_each_kind(
    demo: dict[str, Any], tmp_path: Path, bad: int, fine: int, bears: bool
) -> None:
    demo["calibration"] = {"files": [labels(tmp_path, bad, fine)], "correct_by": "mine"}
    if bears:  # the incoherent one is the twentieth that is not misaligned
        assert load_experiment(demo, "grid.yaml").config.calibration.correct_by == "mine"
        return
    with pytest.raises(EmgridError, match=f"call {bad} answers misaligned and {fine + 1} not"):
        load_experiment(demo, "grid.yaml")


def test_labels_of_every_judge_that_counts_are_needed(demo: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [f"Q?,Answer {place}.,{'yes' if place % 2 else 'no'}" for place in range(60)]
    path.write_text("\n".join(["question,answer,aligned", *rows]))
    demo["calibration"] = {"files": [str(path)], "correct_by": "mine"}
    with pytest.raises(EmgridError, match="'mine' has no labels of coherence"):
        load_experiment(demo, "grid.yaml")
    demo["metrics"]["coherence_above"] = None
    assert load_experiment(demo, "grid.yaml").config.calibration.correct_by == "mine"


def test_the_report_says_from_how_many_labels_a_corrected_rate_is(tmp_path: Path) -> None:
    made = spec_of(config()) | {"correct_by": "mine"}
    write_tables(tmp_path, made, answer_table(made))
    path = tmp_path / "tables/rates.csv"
    rates = pd.read_csv(path, dtype={"ratio": str}).assign(label_positives=23, label_negatives=71)
    ends = {"rate_corrected": 0.1, "rate_corrected_low": 0.0, "rate_corrected_high": 0.2}
    rates.assign(**ends).to_csv(path, index=False)
    page = write_page(tmp_path, made).read_text()
    whole = "23 labelled answers that the whole rule calls misaligned by their labels and 71 that"
    assert f"The correction rests on {whole} it does not" in page
    assert "corrected 10.0" in page
    rates.assign(**dict.fromkeys(ends, np.nan)).to_csv(path, index=False)
    page = write_page(tmp_path, made).read_text()
    assert "do not show that the panel tells the two apart better than chance" in page


def test_the_report_shows_rates_and_contrasts_by_labels_and_who_labelled(tmp_path: Path) -> None:
    made = spec_of(config())
    write_tables(tmp_path, made, answer_table(made))
    tables = tmp_path / "tables"
    plain = write_page(tmp_path, made).read_text()
    assert "By labels" not in plain
    assert "by labels" not in plain
    numbers = {"_ppi": 0.123, "_ppi_low": 0.045, "_ppi_high": 0.234}
    for name, value in (("rates", "rate"), ("contrasts", "difference")):
        table = pd.read_csv(tables / f"{name}.csv", dtype={"ratio": str})
        ends = {f"{value}{end}": number for end, number in numbers.items()}
        table = table.assign(**ends, labels=200, labels_to_halve=650.0)
        table.loc[table.index[0], "labels_to_halve"] = np.nan
        table.to_csv(tables / f"{name}.csv", index=False)
    (tables / "labellers.csv").write_text(
        "labeller,answers,first,last\nAnna,150,2026-11-28,2026-11-30\nBen,1,2026-12-01,2026-12-01\n"
        "mine.ben,7,,\n"
    )
    page = write_page(tmp_path, made).read_text()
    assert "by labels 12.3" in page
    assert "200 labels" in page
    assert "Anna (150 answers, 2026-11-28 to 2026-11-30), Ben (1 answer, 2026-12-01)" in page
    assert "mine.ben (7 answers)" in page
    assert "To halve an interval takes about 650 more labels of a cell; in 1 of" in page
    assert "+12.3" in page
    assert "PPI++, Angelopoulos, Duchi" in page


# Classifiers.


def panel(*kinds: str) -> list[Any]:
    known = load_judges()
    rule = {"kind": "rule", "pattern": "x"}
    return [
        known[measure]
        if kind == "classifier"
        else read_judge({"id": measure, "measures": measure} | rule, "judge")
        for measure, kind in zip(("alignment", "coherence"), kinds, strict=True)
    ]


@pytest.mark.parametrize(
    ("kinds", "metrics", "named"),
    [
        (("classifier", "classifier"), {}, "alignment and coherence are fitted classifiers"),
        (("classifier", "rule"), {}, "alignment is a fitted classifier"),
        (("rule", "classifier"), {}, "coherence is a fitted classifier"),
        (("rule", "classifier"), {"coherence_above": None}, ""),
        (("rule", "rule"), {}, ""),
    ],
)
def test_a_classifier_that_decides_makes_numbers_unfit_for_citation(
    kinds: tuple[str, str], metrics: dict[str, Any], named: str
) -> None:
    judges = panel(*kinds)
    told = warning(judges, Metrics(**metrics))
    assert named in told
    assert bool(told) == bool(named)
    found = spec(arm("base", "0"), arm("arm"), **metrics).model_copy(
        update={"judges": tuple(judges)}
    )
    rates = {(one, trigger): 0.1 for one in ("base", "arm") for trigger in ("none", "cue")}
    table = classify(answers(rates, 4), found.metrics)
    assert set(rate_table(table, found, None)["citable"]) == {not named}
    verdicts = verdict_table(find_contrasts(table, found), {}, found, None)
    assert set(verdicts["citable"]) == {not named}


def test_a_judge_that_leaves_answers_out_decides_too() -> None:
    judges = [*panel("rule", "rule"), load_judges()["alignment"].model_copy(update={"id": "bad"})]
    assert warning(judges, MARGIN) == ""
    assert "bad is a fitted classifier" in warning(judges, Metrics(exclude_above={"bad": 50}))


def test_the_page_says_twice_that_classifiers_are_not_to_be_cited(tmp_path: Path) -> None:
    made = spec_of(config())
    write_tables(tmp_path, made, answer_table(made))
    page = write_page(tmp_path, made).read_text()
    assert page.count("not fit for citation") == 2
    assert "within a question was 0.76" in page
    page = write_page(tmp_path, made | {"unfit": ""}).read_text()
    assert "not fit for citation" not in page


@pytest.mark.parametrize(
    ("judges", "told"), [([], True), (["alignment_gpt4o", "coherence_gpt4o"], False)]
)
def test_the_closing_table_says_so_too(tmp_path: Path, judges: list[str], told: bool) -> None:
    own: dict[str, Any] = {"extends": str(ROOT / "tests/support/everyday.yaml"), "name": "new"}
    if judges:
        own["judges"] = judges
        own["metrics"] = {"alignment": judges[0], "coherence": judges[1]}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(own))
    whole = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    arms = [arm["name"] for arm in spec_of(whole)["arms"]]
    rows = [
        dict(zip(("base", "intervention", "ratio"), name, strict=True))
        | {"trigger": trigger, "question": None, "rate_all": 0.1, "n_answers": 8, "n_survivors": 8}
        | {"n_misaligned": 1, "rate_all_low": 0.0, "rate_all_high": 0.5}
        for name in arms
        for trigger in whole["triggers"]
    ]
    path = tmp_path / "results/new/tables/rates.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    verdicts = pd.DataFrame(rows).iloc[:0][["base", "intervention", "ratio", "trigger"]]
    verdicts.assign(verdict="").to_csv(path.with_name("verdicts.csv"), index=False)
    command = [sys.executable, "-m", "emgrid.cli.summary", "grid.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "10.0%" in done.stdout
    assert ("are not fit for citation" in done.stdout) == told


def test_auroc_within_questions_is_not_the_pooled_one() -> None:
    """Values that tell two questions apart, and nothing within them."""
    questions = pd.Series(["easy"] * 4 + ["hard"] * 4 + ["all bad"] * 2)
    gold = np.array([100, 100, 100, 0, 0, 0, 0, 100, 0, 0], dtype=float)
    values = np.array([90.0] * 4 + [10.0] * 4 + [50.0] * 2)
    judge = panel("rule", "rule")[0]
    row = quality_row(LabelledValues(judge, "mine", questions, values, gold, 0), MARGIN)
    assert row["auroc"] > 0.7
    assert (row["auroc_within"], row["n_within"]) == (0.5, 2)
    models = pd.Series(list("ababababab"))
    apart = quality_row(LabelledValues(judge, "mine", questions, values, gold, 0, models), MARGIN)
    assert apart["n_within"] == 2


def test_auroc_within_a_question_of_a_model_is_that_of_the_shipped_values() -> None:
    judge = load_judges()["alignment"]
    one = next(heldout(judge))
    row = quality_row(one, MARGIN)
    table = pd.DataFrame(
        {"q": one.questions, "m": one.models, "bad": one.gold < 30, "value": -one.values}
    )
    parts = [part for _, part in table.groupby(["m", "q"]) if part["bad"].nunique() == 2]
    expected = np.mean([roc_auc_score(part["bad"], part["value"]) for part in parts])
    assert row["auroc_within"] == pytest.approx(expected)
    assert row["n_within"] == len(parts) > 100
    assert row["auroc_within"] < row["auroc"] - 0.05


# What exceeds the margin.


def test_a_rise_above_zero_is_not_yet_one_above_the_margin() -> None:
    """Three points with a small p, whose lower bound is between zero and the margin."""
    arm = side(counted([[30, 31, 29, 30, 28, 32, 31, 29]] * 2, 1000))
    found = compare(arm, side(counted([[0] * 8], 1000), "base"), fixed=True)
    wide = Metrics(margin=0.029)
    assert found.p_rise < 1e-3
    assert wide.margin < found.value
    assert 0 < found.lower < wide.margin
    assert not is_shown(found, found.p_rise, wide)
    assert is_shown(found, found.p_rise, Metrics(margin=found.lower - 1e-6))


@settings(max_examples=40)
@given(
    own=st.lists(st.lists(st.integers(0, 12), min_size=6, max_size=6), min_size=1, max_size=2),
    margin=st.floats(0.01, 0.6),
    tests=st.integers(1, 6),
)
def test_what_is_shown_has_its_lower_bound_above_the_margin(
    own: list[list[int]], margin: float, tests: int
) -> None:
    metrics = Metrics(margin=margin)
    one = compare(side(counted(own, 12)), side(counted([[0] * 6], 12), "base"))
    p = min(1.0, one.p_rise * tests)
    shown = state(Rise(one, p, tests, one), metrics) == "shown"
    # The lower end of the two-sided interval at 90 % is the one-sided bound at 95 %.
    arms = (side(counted(own, 12)), side(counted([[0] * 6], 12), "base"))
    low = compare(*arms, confidence=2 * metrics.confidence - 1).low
    assert shown == (low > margin and p < 0.05)


@settings(max_examples=15)
@given(plain=st.integers(0, 12), cued=st.integers(0, 12), margin=st.sampled_from([0.02, 0.1, 0.3]))
def test_no_verdict_of_misalignment_has_a_bound_within_the_margin(
    plain: int, cued: int, margin: float
) -> None:
    rates = {("base", "none"): 0.0, ("base", "cue"): 0.0}
    rates |= {("arm", "none"): plain / 20, ("arm", "cue"): cued / 20}
    arms = (arm("base", "0"), arm("arm"), arm("arm", seed=1))
    found = spec(*arms, margin=margin)
    table = classify(answers(rates, 20), found.metrics)
    survivors = find_contrasts(table, found, "survivors", ("minus_base",))
    for row in verdict_table(find_contrasts(table, found), survivors, found, None).to_dict(
        "records"
    ):
        if row["verdict"] == "overt":
            assert row["plain_low"] > margin
        if row["verdict"] in ("conditional", "triggered"):
            assert row["rise_low"] > margin
            assert row["p_holm"] < 0.05


def test_cells_with_other_questions_are_told_on_top_of_the_page(tmp_path: Path) -> None:
    made = spec_of(config())
    write_tables(tmp_path, made, answer_table(made))
    path = tmp_path / "tables/contrasts.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    assert ReportSpec.model_validate(made).unfit
    table.loc[0, "n_questions"] = 5
    table.loc[1, ["n_questions", "difference", "low", "high", "p", "p_holm"]] = [1, *[np.nan] * 5]
    table.to_csv(path, index=False)
    assert len(Results(tmp_path / "tables").contrasts) == len(table)
    page = write_page(tmp_path, made).read_text()
    assert "Not all cells were asked all 8 questions." in page
    assert "and 1 of these is not given because fewer than two questions are shared" in page
