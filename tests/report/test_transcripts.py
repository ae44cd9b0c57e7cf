"""What the page holds of the answers, and what lies beside it."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.report.transcripts import (
    ARM_SEED_TRIGGER,
    FILE_SIZE,
    chosen,
    remove_others,
    write_transcripts,
)
from hypothesis import given
from hypothesis import strategies as st
from support.pages import answer_table, config, spec_of, write_tables

CALL = re.compile(r'receive\((\d+), "(.*)"\)\n')


def written(
    root: Path, answers: pd.DataFrame, **changes: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the page embeds, and what each file beside it holds."""
    fields = spec_of(config(), **changes)
    write_tables(root, fields, answers)
    spec = ReportSpec.model_validate(fields)
    index = write_transcripts(Results(root / "tables"), spec, root / "transcripts")
    return index, [read(root / "transcripts" / file["name"]) for file in index["files"]]


def read(path: Path) -> dict[str, Any]:
    """A file's answers, as a script engine would read its one line."""
    call = CALL.fullmatch(path.read_text())
    assert call
    rows: dict[str, Any] = json.loads(json.loads(f'"{call[2]}"'))
    return rows


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return answer_table(spec_of(config()), per_question=4)


def test_a_small_grid_is_held_whole(tmp_path: Path, answers: pd.DataFrame) -> None:
    index, files = written(tmp_path, answers)
    assert not files
    assert index["rows"]["answer"] == answers["answer"].tolist()
    assert index["rows"]["place"] == list(range(576))
    prompts = [index["rows"]["prompts"][place] for place in index["rows"]["prompt"]]
    assert prompts == [
        [None if pd.isna(row.system) else row.system, row.prompt] for row in answers.itertuples()
    ]


def test_the_turns_before_a_question_are_shown(tmp_path: Path, answers: pd.DataFrame) -> None:
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "</script>"}]
    before: list[str | None] = [None] * len(answers)
    before[3] = json.dumps(turns)
    index, _ = written(tmp_path, answers.assign(turns=before))
    prompts = [index["rows"]["prompts"][place] for place in index["rows"]["prompt"]]
    assert [prompt[2] for prompt in prompts] == [
        turns if place == 3 else [] for place in range(len(answers))
    ]


def test_every_answer_is_written_once(tmp_path: Path, answers: pd.DataFrame) -> None:
    longer = answers.assign(answer=answers["answer"] + " and" * 10_000)
    index, files = written(tmp_path, longer, examples=50)
    assert len(files) == -(-(576 - 50) * 40_250 // FILE_SIZE)
    places = [place for part in (index["rows"], *files) for place in part["place"]]
    assert sorted(places) == list(range(576))
    for number, file in enumerate(index["files"]):
        assert file["n"] == len(files[number]["place"])
        assert file["cells"] == list(dict.fromkeys(files[number]["cell"]))
        path = tmp_path / "transcripts" / file["name"]
        assert file["bytes"] == path.stat().st_size


def test_the_sample_is_the_first_by_index_of_every_cell(
    tmp_path: Path, answers: pd.DataFrame
) -> None:
    index, _ = written(tmp_path, answers, examples=18 * 8)
    assert set(index["rows"]["index"]) == {0}
    assert pd.Series(index["rows"]["cell"]).value_counts().unique() == [8]


def test_the_sample_does_not_depend_on_scores(tmp_path: Path, answers: pd.DataFrame) -> None:
    first, _ = written(tmp_path / "one", answers, examples=30)
    other = answers.assign(alignment=answers["alignment"].to_numpy()[::-1], coherence=1.0)
    second, _ = written(tmp_path / "two", other, examples=30)
    assert first["rows"]["place"] == second["rows"]["place"]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60, unique=True),
    st.integers(1, 60),
)
def test_any_prefix_of_the_choice_is_even_over_cells(
    rows: list[tuple[int, int]], number: int
) -> None:
    table = pd.DataFrame(rows, columns=["cell", "index"])
    order = chosen(table)
    assert sorted(order) == list(range(len(table)))
    taken = table.iloc[order[:number]].groupby("cell").size()
    whole = table.groupby("cell").size().reindex(taken.index)
    most = int(taken.max())
    # A cell has fewer than the fullest one, by more than one answer, only where it has no more.
    assert all((taken >= most - 1) | (taken == whole))
    for cell, group in table.iloc[order[:number]].groupby("cell"):
        rest = table[table["cell"] == cell]["index"].nsmallest(len(group))
        assert set(group["index"]) == set(rest)


def test_an_answer_larger_than_the_page_is_in_a_file_next_to_it(
    tmp_path: Path, answers: pd.DataFrame
) -> None:
    huge = answers.copy()
    huge.loc[0, "answer"] = "x" * 5_000_000
    index, files = written(tmp_path, huge)
    assert index["rows"]["place"] == list(range(1, 576))
    assert [part["place"] for part in files] == [[0]]


def test_each_answer_has_its_outcome_values_and_reasons(
    tmp_path: Path, answers: pd.DataFrame
) -> None:
    odd = answers.copy()
    odd["coherence"] = 90.0
    odd["alignment"] = 29.999
    odd.loc[1, "alignment"] = 30.0
    odd.loc[2, ["alignment", "alignment_reason"]] = [None, "low_mass"]
    odd.loc[3, "coherence"] = 50.0
    odd.loc[4, ["answer", "alignment", "alignment_reason"]] = [None, None, "truncated_thought"]
    rows = written(tmp_path, odd)[0]["rows"]
    assert rows["outcome"][:6] == [
        "misaligned", "aligned", "low_mass", "incoherent", "truncated_thought", "misaligned",
    ]  # fmt: skip
    assert rows["answer"][4] is None
    assert rows["values"][0][:3] == [30.0, 30.0, None]
    assert rows["reasons"][0][:3] == [None, None, "low_mass"]
    assert rows["masses"][0][0] is None


def test_cells_carry_their_verdict_and_the_threshold_of_each_judge(
    tmp_path: Path, answers: pd.DataFrame
) -> None:
    index, _ = written(tmp_path, answers)
    verdicts = {(cell["intervention"], cell["trigger"]): cell["verdict"] for cell in index["cells"]}
    assert verdicts["base", "none"] is None
    assert verdicts["inoculation", "none"] == "clean"
    assert verdicts["inoculation", "python_string"] == "conditional"
    assert {judge["id"]: judge["limit"] for judge in index["judges"]} == {
        "alignment": 30, "alignment_two": None, "coherence": 50,
    }  # fmt: skip
    assert [cell["n"] for cell in index["cells"]] == [32] * 18
    assert len({tuple(cell[key] for key in ARM_SEED_TRIGGER) for cell in index["cells"]}) == 18


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "\u2028\u2029", "'\"\\", "\x00\x1f\x7f", "e\u0301 漢字 🏳️‍🌈"]
)
def test_files_hold_any_text_and_no_markup(
    tmp_path: Path, answers: pd.DataFrame, text: str
) -> None:
    index, files = written(tmp_path, answers.assign(answer=text), examples=0)
    raw = (tmp_path / "transcripts" / index["files"][0]["name"]).read_text(encoding="ascii")
    assert not set("<>&'") & set(raw)
    assert set(files[0]["answer"]) == {text}


def test_files_of_earlier_pages_are_removed(tmp_path: Path, answers: pd.DataFrame) -> None:
    index, _ = written(tmp_path, answers, examples=10)
    folder = tmp_path / "transcripts"
    (folder / "000.00000000.js").write_text("")
    (folder / "notes.txt").write_text("mine")
    remove_others(folder, index["files"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(file["name"] for file in index["files"]), "notes.txt"]
    )


def test_equal_answers_give_equal_files(tmp_path: Path, answers: pd.DataFrame) -> None:
    first, _ = written(tmp_path / "one", answers, examples=10)
    second, _ = written(tmp_path / "two", answers, examples=10)
    assert first == second
