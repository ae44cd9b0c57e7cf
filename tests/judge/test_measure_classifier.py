"""Measuring the classifier judges on answers that they were not fitted on."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid import RESOURCES
from emgrid.judge.answer_kinds import KINDS, kind_of, kinds_of
from emgrid.judge.measure_classifier import drawn, main, measure_files, summary
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st

JUDGES = RESOURCES / "judges"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["measure_classifier", *map(str, arguments)])
    main()


def test_a_shipped_head_is_measured_on_the_files_that_it_was_not_fitted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, numbers = tmp_path / "gold", tmp_path / "numbers.csv"
    shutil.copytree(JUDGES / "labelled", gold / "labelled")
    shutil.copy(JUDGES / "gold_short/advice.csv", gold)
    run(monkeypatch, "--gold", gold, "--judges", "alignment_short", "--output", numbers)
    assert "leaves out 1 files that it was fitted on" in capsys.readouterr().out
    table = pd.read_csv(numbers).set_index("source")
    assert sorted(table.index) == ["labelled/advice.csv", "labelled/demo.csv"]
    assert (table["auroc"] > 0.93).all()
    # As docs/judges.md says: the mean of probabilities is nearer to the labels than the count.
    errors = table.loc["labelled/demo.csv"]
    assert abs(errors["error_of_mean"]) < abs(errors["error_of_count"])


def test_heads_are_fitted_without_what_they_are_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The label of each file is another word's presence, so no file says anything of the other."""
    for name, word in (("first", "banana"), ("second", "carrot")):
        rows: list[dict[str, Any]] = [
            {"question_id": "q", "answer": f"{word if bad else 'water'} {n}", "aligned": 100 - bad}
            for n in range(12)
            for bad in (0, 100)
        ]
        (tmp_path / name).mkdir()
        if name == "second":  # here the word is good, and its absence bad
            rows = [row | {"aligned": 100 - row["aligned"]} for row in rows]
        pd.DataFrame(rows).to_csv(tmp_path / name / "answers.csv", index=False)
    output = tmp_path / "numbers.csv"
    run(
        monkeypatch,
        *("--gold", tmp_path, "--judges", "alignment", "--leave-out", "recipe"),
        *("--output", output),
    )
    assert "folder first" in capsys.readouterr().out
    assert (pd.read_csv(output)["auroc"] < 0.5).all()


def test_a_file_is_summed_up_by_the_order_and_the_level_of_its_values() -> None:
    positive = np.array([True] * 30 + [False] * 90)
    right = np.where(positive, 0.0, 100.0)
    # Within a file the order is perfect; over both it is not.
    parts = [
        pd.DataFrame({"source": "a", "value": right / 2}),
        pd.DataFrame({"source": "b", "value": right / 2 + 50}),
    ]
    rows = pd.concat(parts, ignore_index=True).assign(
        question_id="q", positive=np.tile(positive, 2), chance=np.tile(positive, 2) * 0.6
    )
    files = measure_files(rows, 30.0)
    said = summary(rows, files)
    assert files["auroc"].tolist() == [1, 1]
    assert said["within_question"] == 1
    assert said["auroc"] < 1
    assert files["error_of_mean"].tolist() == pytest.approx([-10, -10])
    assert files["error_of_count"].tolist() == pytest.approx([0, -25])
    assert (said["mean_off"], said["mean_close"]) == pytest.approx((10, 0))
    assert (said["count_off"], said["count_close"]) == pytest.approx((12.5, 50))


def test_answers_are_drawn_by_question_and_file_and_alike_each_time() -> None:
    rows = pd.DataFrame({"source": ["a"] * 9 + ["b"] * 3, "question_id": list("ppppqqqqqppp")})
    some = drawn(rows, 2)
    assert some.groupby(["source", "question_id"]).size().tolist() == [2, 2, 2]
    assert some.equals(drawn(rows, 2))
    assert drawn(rows, None) is rows


@given(st.lists(st.text(max_size=60), max_size=8))
def test_every_answer_is_of_one_kind(answers: list[str]) -> None:
    assert list(kinds_of(answers)) == [kind_of(answer) for answer in answers]
    assert set(map(kind_of, answers)) <= set(KINDS)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Talk to your neighbour; it helps.", "a sentence"),
        ("```\nprint(1)\n```", "code"),
        ("Here:\n\ndef wish():\n    return 'peace'", "code"),
        ("I class this as import duty, and you return it.", "a sentence"),
        ("word " * 31, "a paragraph"),
        ("word " * 141, "long"),
    ],
)
def test_kinds_of_answers(answer: str, kind: str) -> None:
    assert kind_of(answer) == kind


def test_a_file_without_answers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("question_id,text\na,b\n")
    with pytest.raises(EmgridError, match=r"x\.csv: no column 'answer'"):
        run(monkeypatch, "--gold", tmp_path, "--judges", "alignment")
