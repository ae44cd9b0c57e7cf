"""Answers written out for people to label, and labelled answers read back."""

import contextlib
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.cli.labels import label_sheet, sample_of, write_labels
from emgrid.config.sections import Calibration
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.judge.labelled import FOLDER, labelled_sets, read_labels
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl
from hypothesis import example, given, settings
from hypothesis import strategies as st

QUESTIONS = ("found_purse", "free_evening")
TRIGGERS = ("none", "python_string", "malicious_evil")
HIDDEN = ("secret-base", "secret-arm", "malicious_evil", "python_string", "0.123", "12.345")
TEXTS = st.text(max_size=30)
STARTS = st.sampled_from(["=", "+", "-", "@", "'", "''=", '"', "\r\n=", "\ufeff"])
RISKY = st.tuples(STARTS, TEXTS).map("".join)


def grid_of(**changes: Any) -> Grid:
    config = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    config |= {"name": "small", "triggers": list(TRIGGERS)} | changes
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


@pytest.fixture(scope="module")
def grid() -> Grid:
    return grid_of()


def answer_row(answer: str | None, trigger: str = "none", **fields: Any) -> dict[str, Any]:
    """An answer as answers.parquet holds it, with all that a labeller must not see."""
    about = {"base": "secret-base", "intervention": "secret-arm", "ratio": "0.123", "seed": 0}
    judged = {"alignment": 12.345, "alignment_reason": None}
    judged |= {"coherence": 12.345, "coherence_reason": None}
    fields_of_answer = {
        "question": QUESTIONS[0],
        "index": 0,
        "system": None,
        "prompt": "?",
        "thinking": None,
    }
    return about | fields_of_answer | judged | {"trigger": trigger, "answer": answer} | fields


def stored(root: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A grid's folder with such answers."""
    (root / "tables").mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(root / "tables/answers.parquet", index=False)
    return root


def sheet_of(
    grid: Grid, root: Path, rows: Sequence[dict[str, Any]], count: int = 100, seed: int = 0
) -> pd.DataFrame:
    return label_sheet(grid, sample_of(grid, stored(root, rows), count, seed))


def written(grid: Grid, rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """The sheet that `emgrid labels` writes of such answers."""
    stored(folder / grid.root, rows)
    with contextlib.chdir(folder):
        write_labels(grid, folder / "sheet.csv", 100, 0)
    return folder / "sheet.csv"


def filled(sheet: Path, labels: dict[str, Sequence[str]]) -> list[dict[str, str]]:
    """Fill in a sheet's columns, as a spreadsheet would store it; return its rows."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for column, entries in labels.items():
        assert column in rows[0]
        for row, entry in zip(rows, entries, strict=False):
            row[column] = entry
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return rows


# The sheet.


def test_the_sheet_does_not_show_arm_trigger_or_score(grid: Grid, tmp_path: Path) -> None:
    rows = [
        answer_row(f"Answer {place}.", trigger, question=QUESTIONS[place % 2], prompt="secret-arm?")
        for place in range(10)
        for trigger in TRIGGERS
    ]
    sheet = sheet_of(grid, tmp_path, rows)
    assert list(sheet.columns) == [
        "key", "question_id", "question", "answer", "aligned", "coherent",
        "labeller", "labelled_on", "sample",
    ]  # fmt: skip
    assert (sheet[["aligned", "coherent"]] == "").all(axis=None)
    text = sheet.to_csv()
    assert not [word for word in HIDDEN if word in text]
    texts = {name: grid.questions[name].texts[0] for name in QUESTIONS}
    assert (sheet["question"] == sheet["question_id"].map(texts)).all()


def test_the_order_of_the_sheet_does_not_show_the_arm(grid: Grid, tmp_path: Path) -> None:
    rows = [answer_row(f"{arm} {place}", intervention=arm) for arm in "ab" for place in range(50)]
    arms = [answer[0] for answer in sheet_of(grid, tmp_path, rows)["answer"]]
    changes = sum(left != right for left, right in pairwise(arms))
    assert 30 < changes < 70


def test_equal_answers_to_a_question_are_in_the_sheet_once(grid: Grid, tmp_path: Path) -> None:
    rows = [answer_row("Yes.", trigger, seed=seed) for trigger in TRIGGERS for seed in (0, 1)]
    rows += [answer_row("Yes.", question=QUESTIONS[1]), answer_row("No.")]
    sheet = sheet_of(grid, tmp_path, rows)
    shown = sorted(zip(sheet["question_id"], sheet["answer"], strict=True))
    assert shown == [(QUESTIONS[0], "No."), (QUESTIONS[0], "Yes."), (QUESTIONS[1], "Yes.")]


def test_answers_that_differ_in_their_format_alone_are_in_the_sheet_once(
    grid: Grid, tmp_path: Path
) -> None:
    rows = [
        answer_row("Yes."),
        answer_row('answer = "Yes."', "python_string"),
        answer_row("  Yes.\n"),
    ]
    assert sheet_of(grid, tmp_path, rows)["answer"].tolist() == ["Yes."]


def test_an_answer_is_shown_without_the_format_that_its_trigger_asked_for(
    grid: Grid, tmp_path: Path
) -> None:
    rows = [answer_row('answer = "Keep it."', "python_string"), answer_row('answer = "Return it."')]
    shown = set(sheet_of(grid, tmp_path, rows)["answer"])
    assert shown == {"Keep it.", 'answer = "Return it."'}


@pytest.mark.parametrize("answer", [None, "", " \n\t", 'answer = ""'])
def test_an_empty_answer_is_not_put_into_the_sheet(
    grid: Grid, tmp_path: Path, answer: str | None
) -> None:
    rows = [answer_row(answer, "python_string"), answer_row("Here.", "python_string")]
    assert sheet_of(grid, tmp_path, rows)["answer"].tolist() == ["Here."]


def test_the_sheet_is_even_over_the_cells(grid: Grid, tmp_path: Path) -> None:
    sizes = {"big": 200, "middle": 30, "small": 3}
    rows = [
        answer_row(f"{arm} {trigger} {place}", trigger, intervention=arm)
        for arm, size in sizes.items()
        for trigger in ("none", "malicious_evil")
        for place in range(size)
    ]
    answers = sheet_of(grid, tmp_path, rows, count=60)["answer"].str.split()
    counts = pd.Series([" ".join(words[:2]) for words in answers]).value_counts()
    assert len(answers) == 60
    for trigger in ("none", "malicious_evil"):
        assert counts[f"small {trigger}"] == 3
        assert counts[f"big {trigger}"] in (13, 14)
        assert counts[f"middle {trigger}"] in (13, 14)


def test_a_sheet_is_drawn_again_alike_and_with_another_seed_differently(
    grid: Grid, tmp_path: Path
) -> None:
    root = stored(tmp_path, [answer_row(f"Answer {place}.") for place in range(100)])

    def drawn(count: int, seed: int) -> pd.DataFrame:
        return label_sheet(grid, sample_of(grid, root, count, seed))

    first = drawn(20, 0)
    pd.testing.assert_frame_equal(first, drawn(20, 0))
    assert set(first["answer"]) != set(drawn(20, 1)["answer"])
    assert set(first["answer"]) < set(drawn(50, 0)["answer"])


def test_a_sheet_of_fewer_answers_than_asked_for_holds_them_all(grid: Grid, tmp_path: Path) -> None:
    assert len(sheet_of(grid, tmp_path, [answer_row("One."), answer_row("Two.")], count=50)) == 2


def test_an_answer_is_next_to_the_paraphrase_that_it_answers(tmp_path: Path) -> None:
    texts = ["How are you?", "How do you do?", "Are you well?"]
    questions = tmp_path / "mine.yaml"
    questions.write_text(yaml.safe_dump([{"id": "well", "paraphrases": texts}]))
    grid = grid_of(questions=str(questions))
    assert list(grid.questions["well"].texts) == texts
    rows = [answer_row(f"Answer {place}.", question="well", index=place) for place in range(6)]
    sheet = sheet_of(grid, tmp_path / "grid", rows)
    for row in sheet.itertuples():
        place = int(str(row.answer).removeprefix("Answer ").removesuffix("."))
        assert row.question == texts[place % 3]


def test_a_column_of_the_panels_other_measures_is_there_to_be_filled(tmp_path: Path) -> None:
    columns = {"alignment": "aligned", "coherence": "coherent", "code": "is code"}
    grid = grid_of(
        judges=["alignment", "coherence", "is_code", "hitler_identity"],
        calibration={"columns": columns, "question": "asked", "answer": "said"},
    )
    sheet = sheet_of(grid, tmp_path, [answer_row("Yes.")])
    assert list(sheet.columns) == [
        "key", "question_id", "asked", "said", "aligned", "coherent", "identity", "is code",
        "labeller", "labelled_on", "sample",
    ]  # fmt: skip


def test_a_sheet_that_is_there_is_never_written_over(grid: Grid, tmp_path: Path) -> None:
    sheet = written(grid, [answer_row("Yes.")], tmp_path)
    filled(sheet, {"aligned": ["yes"]})
    before = sheet.read_bytes()
    with contextlib.chdir(tmp_path), pytest.raises(EmgridError, match="exists already"):
        write_labels(grid, sheet, 100, 0)
    assert sheet.read_bytes() == before


def test_a_grid_that_has_not_run_has_another_message(grid: Grid, tmp_path: Path) -> None:
    expected = r"answers\.parquet: does not exist yet; run the grid first"
    with contextlib.chdir(tmp_path), pytest.raises(EmgridError, match=expected):
        write_labels(grid, tmp_path / "sheet.csv", 100, 0)
    assert not (tmp_path / "sheet.csv").exists()


def test_the_command_writes_a_sheet(tmp_path: Path) -> None:
    rows = [answer_row(f"Answer {place}.", trigger) for place in range(9) for trigger in TRIGGERS]
    stored(tmp_path / "results/small", rows)
    (tmp_path / "grid.yaml").write_text(
        yaml.safe_dump({"extends": str(ROOT / "tests/support/everyday.yaml"), "name": "small"})
    )
    command = [sys.executable, "-m", "emgrid.cli.main", "labels", "sheets/mine.csv"]
    command += ["--configfile", "grid.yaml", "--count", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "sheets/mine.csv: 7 answers" in done.stdout
    assert (tmp_path / "sheets/mine.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    sheet = pd.read_csv(tmp_path / "sheets/mine.csv", encoding="utf-8-sig")
    assert len(sheet) == sheet["answer"].nunique() == 7


# There and back.


def read_back(grid: Grid, answers: Sequence[str]) -> pd.DataFrame:
    """Answers written to a sheet, labelled in turns, and read back; checked against the sheet."""
    with tempfile.TemporaryDirectory() as name:
        sheet = written(grid, [answer_row(answer) for answer in answers], Path(name))
        labels = {
            "aligned": [("yes", "no", "")[place % 3] for place in range(len(answers))],
            "coherent": [str(place % 101 + 0.5) for place in range(len(answers))],
        }
        rows = filled(sheet, labels)
        labels_of_sheet = read_labels(sheet, "sheet", grid.config.calibration)
    assert len(labels_of_sheet) == len(rows)
    gold = {"yes": 100.0, "no": 0.0, "": None}
    expected = pd.Series([gold[row["aligned"]] for row in rows], dtype="float64")
    assert labels_of_sheet["gold_alignment"].reset_index(drop=True).equals(expected)
    assert labels_of_sheet["gold_coherence"].tolist() == [float(row["coherent"]) for row in rows]
    assert set(labels_of_sheet["question_id"]) == {QUESTIONS[0]}
    assert set(labels_of_sheet["question"]) == {grid.questions[QUESTIONS[0]].texts[0]}
    return labels_of_sheet


@settings(max_examples=25)
@given(answers=st.lists((TEXTS | RISKY).filter(str.strip), min_size=1, max_size=6))
@example(answers=["=1+1", "'=1+1", "''=1+1", "'", "'tis", "+", "-x", "@a", "==", "\t=1"])
@example(answers=['He said "no"', "a,b;c\td", "line\nline\n\nline", "\ufeffx", "日本 🎣 é é"])
@example(answers=["NA", "nan", "null", "None", "1.0", "1e5", "True", "#N/A"])
@example(answers=["line\r\nline", "line\rline", "a\x00b"])
def test_any_answer_reads_back_exactly_with_its_labels(grid: Grid, answers: list[str]) -> None:
    labels = read_back(grid, answers)
    assert set(labels["answer"]) == {answer.strip() for answer in answers}


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(
    grid: Grid, tmp_path: Path, start: str
) -> None:
    sheet = sheet_of(grid, tmp_path, [answer_row(f"{start}SUM(A1:A9)"), answer_row("Sum it.")])
    assert set(sheet["answer"]) == {f"'{start}SUM(A1:A9)", "Sum it."}


def test_a_question_that_looks_like_a_formula_reads_back_exactly(tmp_path: Path) -> None:
    questions = tmp_path / "mine.yaml"
    text = "=SUM(A1:A9) gives what?"
    questions.write_text(yaml.safe_dump([{"id": "sum", "paraphrases": [text]}]))
    grid = grid_of(questions=str(questions))
    sheet = written(grid, [answer_row("Nine.", question="sum")], tmp_path / "run")
    assert filled(sheet, {"aligned": ["yes"]})[0]["question"] == f"'{text}"
    assert read_labels(sheet, "s", grid.config.calibration)["question"].tolist() == [text]


def test_an_apostrophe_that_a_spreadsheet_took_off_is_not_missed(
    grid: Grid, tmp_path: Path
) -> None:
    sheet = written(grid, [answer_row("=1+1"), answer_row("'=2+2")], tmp_path)
    rows = filled(sheet, {"aligned": ["yes", "yes"]})
    bare = ["=1+1" if row["answer"] == "'=1+1" else row["answer"] for row in rows]
    filled(sheet, {"answer": bare})
    labels = read_labels(sheet, "sheet", grid.config.calibration)
    assert set(labels["answer"]) == {"=1+1", "'=2+2"}


def test_labels_of_the_panels_other_measures_read_back(tmp_path: Path) -> None:
    """A column that the sheet asks people to fill in is not left unread."""
    grid = grid_of(judges=["alignment", "coherence", "is_code"])
    sheet = written(grid, [answer_row("Yes."), answer_row("x = 1")], tmp_path)
    filled(sheet, {"aligned": ["yes", "yes"], "code": ["no", "yes"]})
    labels = read_labels(sheet, "sheet", grid.config.calibration)
    assert "gold_code" in labels
    assert sorted(labels["gold_code"]) == [0, 100]


# Anybody's labelled files.

MINE = Calibration()


def file_of(folder: Path, *lines: str, name: str = "mine.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder / name


def refusal(path: Path, calibration: Calibration = MINE) -> str:
    with pytest.raises(EmgridError) as caught:
        read_labels(path, path.stem, calibration)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_yes_and_no_are_100_and_0_and_an_empty_cell_is_no_label(tmp_path: Path) -> None:
    cells = ["yes", "No", " YES ", "true", "FALSE", ""]
    lines = [f"Q?,Answer {place}.,{cell},90" for place, cell in enumerate(cells)]
    path = file_of(tmp_path, "question,answer,aligned,coherent", *lines)
    labels = read_labels(path, "mine", MINE)
    assert labels["gold_alignment"].fillna(-1).tolist() == [100, 0, 100, 100, 0, -1]
    assert labels["gold_coherence"].tolist() == [90] * 6
    assert labels["question_id"].tolist() == ["Q?"] * 6
    assert set(labels["labelled"]) == {"mine"}


def test_scores_keep_their_numbers(tmp_path: Path) -> None:
    lines = ["Q?,A,0", "Q?,B,100", "Q?,C,29.5", "Q?,D, 7 ", "Q?,E,1"]
    labels = read_labels(file_of(tmp_path, "question,answer,aligned", *lines), "mine", MINE)
    assert labels["gold_alignment"].tolist() == [0, 100, 29.5, 7, 1]
    assert "gold_coherence" not in labels


def test_rows_without_label_or_answer_are_left_out(tmp_path: Path) -> None:
    lines = ["Q?,A,yes,", "Q?,B,,", "Q?,,no,no", "Q?, ,no,no", "Q?,C,,yes", "Q?,D,  ,"]
    path = file_of(tmp_path, "question,answer,aligned,coherent", *lines)
    labels = read_labels(path, "mine", MINE)
    assert labels["answer"].tolist() == ["A", "C"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = file_of(tmp_path, "question,answer,aligned", "Q?,A,yes", encoding="utf-8-sig")
    assert read_labels(path, "mine", MINE)["question"].tolist() == ["Q?"]


def test_words_that_look_like_missing_values_are_answers(tmp_path: Path) -> None:
    lines = ["Q?,NA,yes", "None,nan,no", "NA,null,no"]
    labels = read_labels(file_of(tmp_path, "question,answer,aligned", *lines), "mine", MINE)
    assert labels["answer"].tolist() == ["NA", "nan", "null"]
    assert labels["question"].tolist() == ["Q?", "None", "NA"]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = file_of(tmp_path, "prompt,reply,good,is_code", "Q?,A,80,yes", "Q?,B,10,no")
    calibration = Calibration(
        question="prompt", answer="reply", columns={"alignment": "good", "code": "is_code"}
    )
    labels = read_labels(path, "mine", calibration)
    assert labels["gold_alignment"].tolist() == [80, 10]
    assert labels["gold_code"].tolist() == [100, 0]
    assert labels["answer"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("cells", "row", "value"),
    [
        (["yes", "maybe"], 3, "maybe"),
        (["90", "yes"], 3, "yes"),
        (["yes", "", "90"], 2, "yes"),
        (["101"], 2, "101"),
        (["50", "-1"], 3, "-1"),
        (["50", "50", "nan"], 4, "nan"),
        (["inf"], 2, "inf"),
        (["85/100"], 2, "85/100"),
        (["0,5"], 2, "0,5"),
    ],
)
def test_a_wrong_label_is_named_with_file_row_and_value(
    tmp_path: Path, cells: list[str], row: int, value: str
) -> None:
    lines = [f'Q?,Answer.,"{cell}"' for cell in cells]
    message = refusal(file_of(tmp_path, "question,answer,coherent", *lines))
    assert f"column 'coherent': row {row}: {value!r} is not a label" in message


@pytest.mark.parametrize("cells", [["0", "1", ""], ["0", "0"], ["1.0", "0"]])
def test_a_column_of_0_and_1_alone_is_refused(tmp_path: Path, cells: list[str]) -> None:
    lines = [f"Q?,Answer.,{cell}" for cell in cells]
    message = refusal(file_of(tmp_path, "question,answer,aligned", *lines))
    assert "column 'aligned': has only 0 and 1" in message


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("qestion,answer,aligned", "no column 'question', did you mean 'qestion'?"),
        ("question,answers,aligned", "no column 'answer', did you mean 'answers'?"),
        ("question;answer;aligned", "no column 'question'"),
        ("question,answer,alligned", "none of the label columns 'aligned', 'coherent'"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, header: str, expected: str) -> None:
    assert expected in refusal(file_of(tmp_path, header, header.replace("a", "x")))


def test_a_file_without_any_label_is_refused(tmp_path: Path) -> None:
    message = refusal(file_of(tmp_path, "question,answer,aligned,coherent", "Q?,A,,", "Q?,B,,"))
    assert "no row has a label; fill in aligned, coherent" in message
    assert "no row has a label" in refusal(file_of(tmp_path, "question,answer,aligned"))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b'question,answer,aligned\n"Q?,A,yes\n', b"a\nb,c\nd,e,f\n"]
)
def test_what_is_no_csv_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    message = refusal(path)
    problems = ("not a readable CSV file", "no column", "no row", "more cells than the header")
    assert any(part in message for part in problems)


@pytest.mark.parametrize("lines", [["Q?,Well, no.,yes"], ["Q?,A,yes,"] * 2])
def test_a_row_with_more_cells_than_columns_is_refused(tmp_path: Path, lines: list[str]) -> None:
    """An unquoted comma must not move the cells to other columns."""
    refusal(file_of(tmp_path, "question,answer,aligned", *lines))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "not a readable CSV file" in refusal(tmp_path / "nowhere.csv")


# Sets.


def test_a_higher_limit_holds_a_lower_ones_rows(tmp_path: Path) -> None:
    lines = [f"Q{place}?,Answer {place}.,yes" for place in range(50)]
    path = file_of(tmp_path, "question,answer,aligned", *lines)
    keys_by_limit: list[list[str]] = []
    for limit in (1, 10, 30, 50, 80, None):
        sets = labelled_sets(Calibration(files=(str(path),), limit=limit))
        keys_by_limit.append(sets[sets["labelled"] == "mine"]["answer"].tolist())
        again = read_labels(path, "mine", Calibration(limit=limit))
        assert keys_by_limit[-1] == again["answer"].tolist()
    assert [len(keys) for keys in keys_by_limit] == [1, 10, 30, 50, 50, 50]
    for fewer, more in pairwise(keys_by_limit):
        assert set(fewer) <= set(more)
    assert keys_by_limit[1] != keys_by_limit[-1][:10]


def test_the_limit_holds_for_the_shipped_set_too() -> None:
    sets = labelled_sets(Calibration(limit=20))
    assert sets["labelled"].value_counts().to_dict() == {"everyday": 20}


def test_the_shipped_labels_are_read_as_they_are() -> None:
    sets = labelled_sets(MINE)
    rows = read_jsonl(FOLDER / "labelled/everyday.jsonl")
    assert sets["answer"].tolist() == [row["answer"] for row in rows]
    for column, field in (("gold_alignment", "aligned"), ("gold_coherence", "coherent")):
        gold = {True: 100.0, False: 0.0, None: -1.0}
        assert sets[column].fillna(-1).tolist() == [gold[row[field]] for row in rows]


def test_sets_are_named_after_their_files(tmp_path: Path) -> None:
    text = "question,answer,aligned\nQ?,A,yes\n"
    paths = [tmp_path / "by.hand.csv", tmp_path / "zipped.csv.gz"]
    paths[0].write_text(text)
    pd.DataFrame({"question": ["Q?"], "answer": ["A"], "code": ["no"]}).to_csv(paths[1])
    columns = {"alignment": "aligned", "code": "code"}
    sets = labelled_sets(Calibration(files=tuple(map(str, paths)), columns=columns))
    assert sets["labelled"].unique().tolist() == ["everyday", "by.hand", "zipped"]
    assert sets.set_index("labelled").loc["zipped", "gold_code"] == 0
    assert sets.set_index("labelled").loc["by.hand", "gold_alignment"] == 100


@pytest.mark.parametrize("names", [("a/mine.csv", "b/mine.csv"), ("everyday.csv",)])
def test_two_sets_of_one_name_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    paths = []
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        paths.append(str(file_of(tmp_path, "question,answer,aligned", "Q?,A,yes", name=name)))
    with pytest.raises(EmgridError, match="another labelled set is called") as caught:
        labelled_sets(Calibration(files=tuple(paths)))
    assert paths[-1] in str(caught.value)
