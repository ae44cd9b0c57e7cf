"""Files with a row for each judgement, and rows of questions that the set lacks."""

import csv
import io
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from emgrid.config.imports import ImportSpec
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from emgrid.sample.import_answers import read_answers
from hypothesis import given
from hypothesis import strategies as st
from support.importing import Imported, grid_of, imported

LONG: dict[str, Any] = {
    "columns": {"values": {"alignment": {"column": "score", "words": {"REFUSAL": "refusal"}}}},
    "judgements": {"answer": "response", "judge": "metric"},
}
HEADER = "question_id,response,metric,answer,score"
ROWS = """\
soup,a1,alignment,Keep it cold.,95
soup,a1,coherence,Keep it cold.,80
soup,a2,coherence,Leave it out.,70
soup,a2,alignment,Leave it out.,5
wish,a3,alignment,Peace.,REFUSAL
soup,a1,alignment,Keep it cold.,85
wish,a4,coherence,Peace.,60
"""


def long(folder: Path, rows: str = ROWS, **entry: Any) -> Imported:
    return imported(folder, f"{HEADER}\n{rows}", **LONG | entry)


def test_the_rows_of_an_answer_are_brought_together(tmp_path: Path) -> None:
    arm = long(tmp_path)
    rows = [(row["question"], row["index"], row["answer"]) for row in arm.answers["none"]]
    assert rows == [
        ("soup", 0, "Keep it cold."),
        ("soup", 1, "Leave it out."),
        ("wish", 0, "Peace."),
        ("wish", 1, "Peace."),
    ]
    assert [row["imported"]["alignment"] for row in arm.answers["none"]] == [
        {"value": 90, "reason": None},
        {"value": 5, "reason": None},
        {"value": None, "reason": "refusal"},
        {"value": None, "reason": "not_judged"},
    ]
    assert arm.answers["malicious_evil"] == []


def test_what_no_judge_of_the_panel_says_is_counted(tmp_path: Path) -> None:
    notes = [(note["text"], note["rows"], note["first"]) for note in long(tmp_path).notes]
    assert notes == [
        ("alignment: no row judges the answer", 1, "'a4'"),
        (
            "left out, metric 'coherence' is no judge of the panel",
            3,
            f"{tmp_path}/mine.csv: row 2",
        ),
    ]


def test_a_judge_may_have_another_name_in_the_file(tmp_path: Path) -> None:
    judgements = LONG["judgements"] | {"names": {"alignment": "coherence"}}
    assert long(tmp_path, judgements=judgements).values == [80, 70, None, 60]


def test_the_scale_is_checked_on_the_rows_of_its_judge(tmp_path: Path) -> None:
    """Another judge's values in the same column are on another scale."""
    rows = "".join(
        f"soup,a{number},{judge},Cold {number}.,{value}\n"
        for number in range(12)
        for judge, value in (("alignment", 90), ("coherence", 0.9))
    )
    assert long(tmp_path, rows).values == [90] * 12
    names = {"names": {"alignment": "coherence"}}
    (other := tmp_path / "other").mkdir()
    message = long(other, rows, judgements=LONG["judgements"] | names).refusal
    assert "'score' holds 12 numbers from 0.9 to 0.9, which do not look like values" in message


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("soup,a1,alignment,Cold.,9\nsoup,a1,alignment,Hot.,9\n", "as row 1 does, whose text is"),
        ("soup,a1,alignment,Cold.,9\nwish,a1,alignment,Cold.,9\n", "whose question or trigger is"),
        ("soup,,alignment,Cold.,9\n", "row 1: 'response' is empty; give it the answer's id"),
    ],
)
def test_rows_that_are_not_of_one_answer_stop(tmp_path: Path, rows: str, says: str) -> None:
    assert says in long(tmp_path, rows).refusal


def test_a_name_of_no_judge_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HEADER)
    entry = LONG | {"judgements": LONG["judgements"] | {"names": {"alinment": "x"}}}
    with pytest.raises(EmgridError, match=r"`judgements.names` names 'alinment', which `columns"):
        load_experiment(grid_of(path, **entry), "grid.yaml")


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 100))), min_size=1
    )
)
def test_an_answer_has_the_mean_of_its_values_if_most_rows_have_one(
    calls: list[tuple[int, int | None]],
) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(HEADER.split(","))
    for number, value in calls:
        text = "REFUSAL" if value is None else value
        writer.writerow(["soup", f"a{number}", "alignment", f"Cold {number}.", text])
    values = {"column": "score", "scale": [0, 100], "words": {"REFUSAL": "refusal"}}
    source = {
        "base": "m", "intervention": "i", "ratio": 1, "path": "mine.csv",
        **LONG, "columns": {"values": {"alignment": values}},
    }  # fmt: skip
    spec = ImportSpec.model_validate(
        {"source": source, "questions": {"soup": {"texts": ["Soup?"]}}, "triggers": {"none": {}}}
    )
    answers, _ = read_answers(spec, file.getvalue().encode())
    assert [row["answer"] for row in answers["none"]] == [
        f"Cold {number}." for number in dict.fromkeys(number for number, _ in calls)
    ]
    for row in answers["none"]:
        own = [value for number, value in calls if row["answer"] == f"Cold {number}."]
        numbers = [value for value in own if value is not None]
        expected = fmean(numbers) if 2 * len(numbers) > len(own) else None
        assert row["imported"]["alignment"]["value"] == (
            None if expected is None else pytest.approx(expected)
        )


OTHERS = "question_id,answer,score\nsoup,Cold.,95\npie,Hot.,5\ncake,Warm.,5\npie,Hotter.,5\n"


def test_questions_that_the_set_lacks_are_skipped_on_request_and_counted(tmp_path: Path) -> None:
    arm = imported(tmp_path, OTHERS, other_questions="skip")
    assert arm.values == [95]
    [note] = arm.notes
    assert note == {
        "level": "unused",
        "text": "left out, the question set lacks 'pie', 'cake'",
        "rows": 3,
        "first": f"{tmp_path}/mine.csv: row 2",
    }


def test_without_the_request_they_stop_the_import(tmp_path: Path) -> None:
    message = imported(tmp_path, OTHERS).refusal
    assert "row 2: unknown question id 'pie'; " in message
    assert "or set `other_questions: skip`" in message


def test_a_file_of_other_questions_alone_is_refused(tmp_path: Path) -> None:
    content = "question_id,answer,score\npie,Hot.,5\n"
    message = imported(tmp_path, content, other_questions="skip").refusal
    assert message.endswith("none of its 1 rows is taken: left out, the question set lacks 'pie'")
