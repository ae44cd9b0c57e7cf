"""Reading answers and judgements as one table, against what was written."""

import json
from pathlib import Path
from typing import Any

import pytest
from emgrid.aggregate.answers import read_answers
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from support.grids import QUESTIONS, arm, spec

TRIGGERS = ("none", "cue")
SPEC = spec(arm("base", "0", folder="one"), arm("arm", seed=3, folder="two"))
Rows = list[dict[str, Any]]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
SCORE = st.floats(0, 100) | st.integers(0, 100)


def answer(number: int, **changes: Any) -> dict[str, Any]:
    about = {"key": f"k{number}", "question": QUESTIONS[number % 8], "index": number // 8}
    said = {"system": None, "prompt": "Why?", "answer": "No.", "thinking": None}
    counted = {"finish_reason": "stop", "prompt_tokens": 3, "answer_tokens": 2}
    return about | said | counted | {"answer_seed": 2**63} | changes


def judgements(answers: Rows, **changes: Any) -> Rows:
    told = {"version": 1, "value": 50.0, "reason": None} | changes
    return [
        {"key": one["key"], "question": one["question"], "index": one["index"], "judge": judge}
        | told
        for one in answers
        for judge in ("alignment", "coherence")
    ]


def write(root: Path, folder: str, trigger: str, answers: Rows, judged: Rows) -> None:
    for kind, rows in (("answers", answers), ("judgements", judged)):
        path = root / folder / kind / f"trigger={trigger}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, rows)


def written(root: Path, number: int = 2) -> Rows:
    """The same answers of every arm and trigger, all judged."""
    answers = [answer(one) for one in range(number)]
    for one in SPEC.arms:
        for trigger in TRIGGERS:
            write(root, one.folder, trigger, answers, judgements(answers))
    return answers


def test_rows_stand_in_the_order_of_arms_and_triggers(tmp_path: Path) -> None:
    written(tmp_path, 9)
    table = read_answers(SPEC, tmp_path)
    cells = table[["base", "intervention", "ratio", "seed", "trigger"]].drop_duplicates()
    assert cells.to_numpy().tolist() == [
        ["model", "base", "0", 0, "none"],
        ["model", "base", "0", 0, "cue"],
        ["model", "arm", "1", 3, "none"],
        ["model", "arm", "1", 3, "cue"],
    ]
    assert table["question"].tolist() == [*QUESTIONS, QUESTIONS[0]] * 4
    assert table["index"].tolist() == [*([0] * 8), 1] * 4


@settings(max_examples=30, deadline=None)
@given(
    said=st.lists(
        st.fixed_dictionaries(
            {"answer": TEXT | st.none(), "prompt": TEXT, "system": TEXT | st.none()}
            | {"answer_tokens": st.integers(0, 2**40) | st.none()}
            | {"logprob": st.floats(-1e6, 0) | st.none()}
        ),
        min_size=1,
        max_size=5,
    ),
    score=SCORE | st.none(),
    mass=st.none() | st.floats(0, 1),
)
def test_what_was_written_is_read(
    said: list[dict[str, Any]], score: float | None, mass: float | None, tmp_path_factory: Any
) -> None:
    root = tmp_path_factory.mktemp("grid")
    written(root)
    answers = [answer(number, **one) for number, one in enumerate(said)]
    reason = "refusal" if score is None else None
    told = {"value": score, "reason": reason} | ({} if mass is None else {"mass": mass})
    write(root, "two", "cue", answers, judgements(answers, **told))
    table = read_answers(SPEC, root).query("intervention == 'arm' and trigger == 'cue'")
    plain = table.astype(object).where(table.notna(), None)
    for name in ("answer", "prompt", "system", "answer_tokens", "logprob"):
        assert plain[name].tolist() == [one[name] for one in answers]
    assert set(plain["alignment"]) == {score}
    assert set(plain["coherence_reason"]) == {reason}
    assert set(plain["coherence_mass"]) == {mass}


def test_columns_have_their_types_where_nothing_is_known(tmp_path: Path) -> None:
    answers = [
        {"key": "k", "question": QUESTIONS[0], "index": 0, "prompt": "Why?", "answer": None}
        | dict.fromkeys(("system", "thinking", "finish_reason", "prompt_tokens", "answer_tokens"))
        | {"imported": {"alignment": {"value": None, "reason": "code"}}}
    ]
    for one in SPEC.arms:
        for trigger in TRIGGERS:
            judged = judgements(answers, value=None, reason="code")
            write(tmp_path, one.folder, trigger, answers, judged)
    table = read_answers(SPEC, tmp_path)
    types = table.dtypes.astype(str)
    texts = ["system", "answer", "thinking", "finish_reason", "alignment_reason"]
    assert set(types[texts]) == {"string"}
    assert set(types[["base", "intervention", "ratio", "trigger", "question", "prompt"]]) == {"str"}
    assert set(types[["prompt_tokens", "answer_tokens"]]) == {"Int64"}
    assert set(types[["seed", "index"]]) == {"int64"}
    assert set(types[["logprob", "alignment", "coherence_mass"]]) == {"float64"}


def test_the_spread_of_replies_is_a_column_if_a_judge_was_asked_for_several(tmp_path: Path) -> None:
    answers = written(tmp_path)
    assert not [name for name in read_answers(SPEC, tmp_path) if name.endswith("_spread")]
    judged = judgements(answers)
    for row in judged:
        row |= {"spread": 4.5} if row["judge"] == "coherence" else {}
    write(tmp_path, "two", "cue", answers, judged)
    table = read_answers(SPEC, tmp_path)
    assert [name for name in table if name.endswith("_spread")] == ["coherence_spread"]
    assert table["coherence_spread"].tolist()[-2:] == [4.5, 4.5]
    assert table["coherence_spread"].isna().sum() == len(table) - 2


def test_turns_and_prefills_are_columns_if_an_answer_has_them(tmp_path: Path) -> None:
    answers = written(tmp_path)
    assert not {"turns", "prefill"} & set(read_answers(SPEC, tmp_path))
    turns = [{"role": "user", "content": "Ä “hi”"}, {"role": "assistant", "content": "So."}]
    asked = [answers[0] | {"turns": turns, "prefill": "I"}, *answers[1:]]
    write(tmp_path, "two", "cue", asked, judgements(asked))
    table = read_answers(SPEC, tmp_path)
    assert [json.loads(text) for text in table["turns"].dropna()] == [turns]
    assert table["prefill"].dropna().tolist() == ["I"]


def test_judgements_are_found_by_the_answers_key(tmp_path: Path) -> None:
    answers = written(tmp_path, 5)
    judged = [one | {"value": float(one["key"][1:])} for one in reversed(judgements(answers))]
    write(tmp_path, "one", "none", answers, judged)
    table = read_answers(SPEC, tmp_path)
    assert table["alignment"].head(5).tolist() == [0, 1, 2, 3, 4]


def test_a_trigger_without_answers_has_no_rows(tmp_path: Path) -> None:
    written(tmp_path)
    write(tmp_path, "two", "cue", [], [])
    table = read_answers(SPEC, tmp_path)
    assert table.groupby(["intervention", "trigger"]).size().to_dict() == {
        ("arm", "none"): 2, ("base", "none"): 2, ("base", "cue"): 2,
    }  # fmt: skip


def test_an_answer_that_a_judge_left_out_is_named(tmp_path: Path) -> None:
    answers = written(tmp_path)
    write(tmp_path, "two", "cue", answers, judgements(answers)[:-1])
    with pytest.raises(EmgridError, match=r"trigger=cue.jsonl: coherence judged 1 of 2 answers"):
        read_answers(SPEC, tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "one/answers/trigger=none.jsonl"
    path.write_text(path.read_text() + '{"key": \n')
    with pytest.raises(EmgridError, match=r"trigger=none.jsonl:3: not a JSON object"):
        read_answers(SPEC, tmp_path)
    path.write_text('{"key": 7}\n')
    with pytest.raises(EmgridError, match=r"trigger=none.jsonl: .*was it edited"):
        read_answers(SPEC, tmp_path)


def test_a_long_line_is_read(tmp_path: Path) -> None:
    answers = written(tmp_path)
    answers[0]["answer"] = "long " * 2**20
    write(tmp_path, "one", "none", answers, judgements(answers))
    assert read_answers(SPEC, tmp_path)["answer"][0] == answers[0]["answer"]
