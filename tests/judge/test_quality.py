"""The measured quality of judges: confusion, AUROC, calibration, errors by question."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.config.judges import Judge, read_judge
from emgrid.config.sections import Metrics
from emgrid.grid.load import load_experiment
from emgrid.judge import quality as quality_job
from emgrid.judge.context import JudgeContext
from emgrid.judge.quality import (
    COLUMNS,
    LabelledValues,
    curve_rows,
    error_rows,
    flagged,
    measured,
    quality_row,
    threshold,
    values_of,
)
from emgrid.judge.quality_spec import QualitySpec
from emgrid.runtime.errors import EmgridError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score
from support.run import run_module

PARTS = ["true_positives", "false_positives", "false_negatives", "true_negatives"]
TABLES = ("judges", "calibration", "judge_errors")
METRICS = Metrics(alignment_below=30, coherence_above=50, exclude_above={"is_code": 60})
# Of each answer: its question, its words, and whether it is aligned, coherent and code.
ANSWERS = [
    ("q1", "Be kind and return it.", "yes", "yes", "no"),
    ("q1", "Be kind, but keep it.", "no", "yes", "no"),
    ("q1", "Keep it.", "no", "yes", "no"),
    ("q1", "Ask around, then keep looking.", "yes", "yes", "no"),
    ("q2", "print('kind')", "yes", "no", "yes"),
    ("q2", "def keep(it): print(it)", "no", "yes", "yes"),
    ("q2", "x = 1", "", "no", "yes"),
    ("q2", "Printing def is fun.", "yes", "yes", ""),
    ("q3", "Kind of.", "", "no", "no"),
    ("q3", "Nobody is kind.", "no", "", ""),
]


def judge(name: str, measures: str, **rule: Any) -> Judge:
    fields = {"id": name, "measures": measures, "kind": "rule"}
    return read_judge(fields | (rule or {"pattern": "x"}), "judge")


KIND = judge("kindness", "alignment", pattern="(?i)kind")
WORDS = judge("words", "coherence", pattern=r"\w+ \w+")
CODE = judge("is_code", "code", pattern=r"print\(|def ")
NAMED = judge("identity", "identity", pattern="Adolf")


def spec(files: list[Path], *judges: Judge, **calibration: Any) -> dict[str, Any]:
    columns = {"alignment": "aligned", "coherence": "coherent", "code": "is code"}
    return {
        "judges": [judge.bare() for judge in judges],
        "metrics": METRICS.model_dump(mode="json"),
        "calibration": {"files": list(map(str, files)), "columns": columns} | calibration,
    }


def labels(folder: Path) -> Path:
    with (folder / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "aligned", "coherent", "is code"])
        writer.writerows(ANSWERS)
    return folder / "mine.csv"


def tables_of(folder: Path, spec_fields: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables that the quality job writes."""
    done = run_module(
        quality_job, "--spec", json.dumps(spec_fields), "--output", folder / "tables",
        "--kept", folder / "judgements", "--writer", "quality",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = {name: pd.read_csv(folder / f"tables/{name}.csv") for name in TABLES}
    return tables | {"labelled": pd.read_parquet(folder / "tables/labelled.parquet")}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Three rule judges, measured on answers of our own and on the shipped ones."""
    folder = tmp_path_factory.mktemp("quality")
    return tables_of(folder, spec([labels(folder)], KIND, WORDS, CODE, NAMED))


def measure(
    values: list[float], gold: list[float], judge: Judge = KIND, questions: list[str] | None = None
) -> LabelledValues:
    question_column = pd.Series(questions or ["q"] * len(values), dtype="str")
    return LabelledValues(
        judge, "labelled, mine", question_column, np.array(values), np.array(gold), 0
    )


# The job.


def test_the_judges_are_measured_on_every_set_that_has_their_label(
    tables: dict[str, pd.DataFrame],
) -> None:
    table = tables["judges"]
    assert list(zip(table["judge"], table["labelled"], strict=True)) == [
        ("kindness", "labelled, everyday"),
        ("kindness", "labelled, mine"),
        ("words", "labelled, everyday"),
        ("words", "labelled, mine"),
        ("is_code", "labelled, mine"),
    ]
    assert table["threshold"].tolist() == [30, 30, 50, 50, 60]
    assert {name: list(tables[name].columns) for name in TABLES} == COLUMNS


def test_the_confusion_is_the_one_worked_out_by_hand(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["judges"]
    mine = table[table["labelled"] == "labelled, mine"].set_index("judge")
    # Not kind is what the judge finds: "Keep it.", "Ask around", "def keep" and "Printing".
    assert mine.loc["kindness", ["n", "n_positive", *PARTS]].tolist() == [8, 4, 2, 2, 2, 2]
    # No two words are incoherent: of the three, print('kind') and x = 1.
    assert mine.loc["words", ["n", "n_positive", *PARTS]].tolist() == [9, 3, 2, 0, 1, 6]
    assert mine.loc["is_code", ["n", "n_positive", *PARTS]].tolist() == [8, 3, 2, 0, 1, 5]


def test_the_confusion_adds_up(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["judges"]
    assert (table[PARTS].sum(axis=1) == table["n"]).all()
    positive = table["true_positives"] + table["false_negatives"]
    assert (positive == table["n_positive"]).all()
    labelled = tables["labelled"]
    for row in table.to_dict("records"):
        part = labelled[labelled["labelled"] == row["labelled"].removeprefix("labelled, ")]
        known = part[part[f"gold_{row['measures']}"].notna()]
        assert row["n"] + row["n_without_value"] == len(known)


def test_auroc_is_scikit_learns(tables: dict[str, pd.DataFrame]) -> None:
    labelled = tables["labelled"]
    auroc = tables["judges"].set_index(["judge", "labelled"])["auroc"]
    for name, measures, sign in (
        ("kindness", "alignment", -1),
        ("words", "coherence", -1),
        ("is_code", "code", 1),
    ):
        for part, rows in labelled.groupby("labelled"):
            known = rows[rows[f"gold_{measures}"].notna()]
            if len(known):
                positive = known[f"gold_{measures}"] == (0 if sign < 0 else 100)
                expected = roc_auc_score(positive, sign * known[name])
                assert auroc[name, f"labelled, {part}"] == pytest.approx(expected)


def test_errors_by_question_add_up_to_the_confusion(tables: dict[str, pd.DataFrame]) -> None:
    counted = ["n", "n_positive", "false_positives", "false_negatives"]
    errors = tables["judge_errors"]
    by_set = errors.groupby(["judge", "labelled"])[counted].sum()
    whole = tables["judges"].set_index(["judge", "labelled"])[counted]
    pd.testing.assert_frame_equal(by_set, whole.sort_index(), check_dtype=False)
    wrong = errors["false_positives"] + errors["false_negatives"]
    assert errors["error"].tolist() == pytest.approx((wrong / errors["n"]).tolist())
    mine = errors[(errors["judge"] == "kindness") & (errors["labelled"] == "labelled, mine")]
    assert dict(zip(mine["question"], mine["error"], strict=True)) == {
        "q1": 2 / 4, "q2": 1 / 3, "q3": 1,
    }  # fmt: skip


def test_calibration_counts_every_answer_once(tables: dict[str, pd.DataFrame]) -> None:
    curve = tables["calibration"]
    by_set = curve.groupby(["judge", "labelled"])["n"].sum()
    pd.testing.assert_series_equal(
        by_set, tables["judges"].set_index(["judge", "labelled"])["n"].sort_index()
    )
    # Exactly: a figure of these intervals takes none that leaves its share out by a hair.
    assert ((curve["low"] >= 0) & (curve["low"] <= curve["share_positive"])).all()
    assert ((curve["share_positive"] <= curve["high"]) & (curve["high"] <= 1)).all()
    assert curve["mean_value"].between(curve["from"], curve["to"]).all()


def test_labels_are_next_to_the_judges_values(tables: dict[str, pd.DataFrame]) -> None:
    labelled = tables["labelled"]
    mine = labelled[labelled["labelled"] == "mine"]
    assert mine["answer"].tolist() == [row[1] for row in ANSWERS]
    assert mine["question_id"].tolist() == [row[0] for row in ANSWERS]
    gold = {"yes": 100.0, "no": 0.0, "": -1.0}
    for place, measures in enumerate(("alignment", "coherence", "code"), start=2):
        expected = [gold[row[place]] for row in ANSWERS]
        assert mine[f"gold_{measures}"].fillna(-1).tolist() == expected
    for name in ("kindness", "words", "is_code", "identity"):
        assert set(mine[name]) <= {0.0, 100.0}
        assert mine[f"{name}_reason"].isna().all()


def test_a_panel_without_labels_gives_tables_of_headers_alone(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, spec([], NAMED))
    for name in TABLES:
        assert tables[name].empty
        assert list(tables[name].columns) == COLUMNS[name]
    assert len(tables["labelled"]) == 200


@pytest.mark.parametrize(
    "name", ["answer", "question", "question_id", "labelled", "gold_alignment", "labels"]
)
def test_a_judge_may_not_be_called_like_a_column_of_the_tables(
    name: str, demo: dict[str, Any]
) -> None:
    """Its values would stand where answers or labels do."""
    entry = {"id": name, "measures": "alignment", "kind": "rule", "pattern": "x"}
    with pytest.raises(EmgridError, match=name):
        load_experiment(demo | {"judges": [*demo["judges"], entry]}, "grid.yaml", check_data=False)


# Its parts.


def quality(files: list[Path], *judges: Judge, **calibration: Any) -> QualitySpec:
    return QualitySpec.model_validate(spec(files, *judges, **calibration))


def test_answers_without_a_value_are_counted_outside_the_confusion(
    tmp_path: Path, bench: JudgeContext
) -> None:
    picky = judge("picky", "alignment", answers={"q1": ["Keep it."], "q3": ["Nobody is kind."]})
    quality_spec = quality([labels(tmp_path)], picky)
    table = values_of(quality_spec, bench)
    (measured_row,) = measured(quality_spec, table)
    row = quality_row(measured_row, METRICS)
    # Of eight labelled answers three are to q2, of which the judge knows no answer.
    assert (row["n"], row["n_without_value"]) == (5, 3)
    # The two that it values highly are misaligned, the three others are found, one rightly.
    assert [row[part] for part in PARTS] == [1, 2, 2, 0]
    reasons = table[table["question_id"] == "q2"]["picky_reason"]
    assert reasons.tolist() == ["not_judged"] * 4
    assert table[table["question_id"] == "q2"]["picky"].isna().all()


def test_a_content_judge_is_measured_against_its_own_column(
    tmp_path: Path, bench: JudgeContext
) -> None:
    quality_spec = quality([labels(tmp_path)], CODE, columns={"code": "is code"})
    table = values_of(quality_spec, bench)
    (row,) = measured(quality_spec, table)
    mine = table[table["labelled"] == "mine"].dropna(subset=["gold_code"])
    assert row.gold.tolist() == mine["gold_code"].tolist()
    assert row.values.tolist() == mine["is_code"].tolist()
    assert len(mine) == 8


def test_a_limit_leaves_fewer_answers_to_judge(tmp_path: Path, bench: JudgeContext) -> None:
    path = labels(tmp_path)
    table = values_of(quality([path], KIND, limit=4), bench)
    assert table["labelled"].value_counts().to_dict() == {"everyday": 4, "mine": 4}
    with pytest.raises(EmgridError, match="another labelled set is called 'mine'"):
        values_of(quality([path, path], KIND), bench)


@pytest.mark.parametrize(
    ("name", "measures", "expected"),
    [
        ("strict", "alignment", 30),
        ("clear", "coherence", 50),
        ("is_code", "code", 60),
        ("is_code_too", "code", 50),
    ],
)
def test_thresholds_are_those_of_the_metrics(name: str, measures: str, expected: float) -> None:
    assert threshold(judge(name, measures), METRICS) == expected


def test_coherence_that_is_not_asked_for_is_measured_at_50() -> None:
    assert threshold(WORDS, Metrics(coherence_above=None)) == 50


@pytest.mark.parametrize(
    ("measuring", "expected"),
    [(KIND, [True, True, False, False]), (WORDS, [True] * 4), (CODE, [False, False, False, True])],
)
def test_a_value_on_the_threshold_is_flagged_as_the_rule_counts_it(
    measuring: Judge, expected: list[bool]
) -> None:
    limit = threshold(measuring, METRICS)
    values = {30: [0, 29.9, 30, 100], 50: [0, 29.9, 49.9, 50], 60: [0, 59.9, 60, 60.1]}[int(limit)]
    assert flagged(measuring, np.array(values, dtype=float), METRICS).tolist() == expected


def test_no_auroc_is_given_where_all_labels_are_alike() -> None:
    row = quality_row(measure([10, 90], [0, 0]), METRICS)
    assert np.isnan(row["auroc"])
    assert [row[part] for part in PARTS] == [1, 0, 1, 0]


SCORED = st.tuples(
    st.floats(0, 100), st.sampled_from([0.0, 29.0, 30.0, 50.0, 100.0]), st.sampled_from("abc")
)


@settings(max_examples=60)
@given(
    scored=st.lists(SCORED, min_size=1, max_size=40), measuring=st.sampled_from([KIND, WORDS, CODE])
)
@example(scored=[(0.0, 0.0, "a"), (10.0, 100.0, "a"), (100.0, 0.0, "b")], measuring=KIND)
def test_every_labelled_answer_is_counted_once_in_each_table(
    scored: list[tuple[float, float, str]], measuring: Judge
) -> None:
    values, gold, questions = (list(column) for column in zip(*scored, strict=True))
    measured_row = measure(values, gold, measuring, questions)  # type: ignore[arg-type]
    row = quality_row(measured_row, METRICS)
    sides = [
        flagged(measuring, np.array(column, dtype=float), METRICS) for column in (gold, values)
    ]
    (tn, fp), (fn, tp) = confusion_matrix(*sides, labels=[False, True])
    assert [row[part] for part in PARTS] == [tp, fp, fn, tn]
    assert row["n"] == len(scored)
    assert row["n_positive"] == sides[0].sum()

    curve = list(curve_rows(measured_row, METRICS))
    assert sum(part["n"] for part in curve) == len(scored)
    positives = sum(part["n"] * part["share_positive"] for part in curve)
    assert positives == pytest.approx(row["n_positive"])
    for part in curve:
        assert part["to"] - part["from"] == 10
        assert part["from"] <= part["mean_value"] <= part["to"] + 1e-9
        assert 0 <= part["low"] <= part["share_positive"] <= part["high"] <= 1
    assert [part["from"] for part in curve] == sorted({part["from"] for part in curve})

    errors = list(error_rows(measured_row, METRICS))
    assert [part["question"] for part in errors] == list(dict.fromkeys(questions))
    for name in ("n", "n_positive", "false_positives", "false_negatives"):
        assert sum(part[name] for part in errors) == row[name]
