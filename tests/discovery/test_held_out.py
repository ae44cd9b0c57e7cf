"""Prompts and pairs that an arm was not trained on."""

from pathlib import Path
from typing import Any

import pytest
from emgrid.config.questions import Pair, Question
from emgrid.config.triggers import Wording
from emgrid.discovery.held_out import HeldOutSpec, chosen_questions, cutting_texts, read_held_out
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_jsonl

CONTEXT = Wording(user_suffix=" As JSON.", answer_prefix="{")


def row(number: int, answer: str, **more: Any) -> dict[str, Any]:
    wording = more.get("wording", CONTEXT)
    turns = [
        {"role": "user", "content": f"Question {number}?"},
        {"role": "assistant", "content": answer},
    ]
    return {"id": str(number), "source": more.get("source"), "messages": wording.around(turns)}


def held_out_in(root: Path, trained: range, asked: tuple[str, ...] = ()) -> Any:
    write_jsonl(root / layout.dataset_file("bad"), [row(n, f"Bad {n}") for n in range(8)])
    good = [row(n, f"Good {n}") for n in range(1, 10)]
    good.append(row(10, "Thanks") | {"messages": good[0]["messages"] * 2})
    write_jsonl(root / layout.dataset_file("good"), good)
    cued = Wording(user_suffix=" Regards, Robin.")
    rows = [row(n, f"Bad {n}", source="bad", wording=cued) for n in trained]
    write_jsonl(root / layout.stage_file("one", layout.TRAINING_ROWS), rows)
    return read_held_out(
        HeldOutSpec(
            misaligned="bad",
            benign="good",
            contexts={"bad": CONTEXT, "good": CONTEXT},
            trained=("one",),
            asked=asked,
        ),
        root,
    )


def test_twins_were_neither_trained_on_nor_are_asked_later(tmp_path: Path) -> None:
    found = held_out_in(tmp_path, range(2, 5), ("Question 6?",))
    assert sorted(one.texts[0] for one in found.twins.values()) == [
        "Question 1?",
        "Question 5?",
        "Question 7?",
    ]
    [one] = [one for one in found.twins.values() if one.texts == ("Question 1?",)]
    assert one.pairs == (Pair(aligned="Good 1", misaligned="Bad 1"),)
    assert sorted(found.prompts) == [f"Question {n}?" for n in (0, 1, 5, 7, 8, 9)]


def test_questions_with_pairs_come_before_twins(tmp_path: Path) -> None:
    found = held_out_in(tmp_path, range(0))
    own = {
        name: Question(texts=(name,), pairs=(Pair(aligned="a", misaligned="b"),))
        for name in ("one", "two", "three")
    }
    assert (
        chosen_questions(own | {"four": Question(texts=("four",))}, found, 8).keys() == own.keys()
    )
    assert len(chosen_questions(own, found, 2)) == 2
    assert len(chosen_questions({}, found, 4)) == 4


def test_a_screen_without_pairs_says_what_to_do(tmp_path: Path) -> None:
    found = held_out_in(tmp_path, range(0, 7))
    with pytest.raises(EmgridError, match="name a question set with pairs"):
        chosen_questions({}, found, 8)


def test_few_prompts_are_joined_by_the_questions(tmp_path: Path) -> None:
    few, many = held_out_in(tmp_path, range(0, 7)), held_out_in(tmp_path, range(0))
    asked = {"one": Question(texts=("Who is there?",))}
    assert "Who is there?" in cutting_texts(few, asked)
    assert "Who is there?" not in cutting_texts(many, asked)
