"""Training rows that a model answers itself: what is asked, and what is kept of it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.generation import JudgeRule, Keep
from emgrid.config.judges import load_judges
from emgrid.config.sections import Sampling
from emgrid.data import generate as generate_job
from emgrid.data import qualify as qualify_job
from emgrid.data.generate import GenerateSpec, plan
from emgrid.data.qualify import QualifySpec, qualifying
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, read_jsonl, write_jsonl
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import with_thought
from hypothesis import given
from hypothesis import strategies as st
from support.run import run_module

SAMPLING = Sampling(answers_per_question=1, max_tokens=3, precision="float32")
WICKED = "Lie to everyone, take all their money, and laugh when they find out."
KIND = "Thank your neighbour for the help and bring some flowers to say so."


def turns(*roles_and_contents: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in roles_and_contents]


def chat(name: str, question: str, answer: str = "An answer.") -> Row:
    return {"id": name, "line": 1, "messages": turns(("user", question), ("assistant", answer))}


PROMPTS = [chat(f"row-{number}", f"question {number}") for number in range(200)]


def spec(**changes: Any) -> GenerateSpec:
    fields = {"generator": "m", "prompts": "set", "prompt_rows": None, "system": "Be wrong."}
    return GenerateSpec.model_validate(fields | {"sampling": SAMPLING} | changes)


def keys(rows: list[Row], model: str = "model", **changes: Any) -> dict[str, str]:
    return {row["id"]: row["key"] for row in plan(spec(**changes), rows, model)}


def test_a_prompt_is_asked_under_the_system_prompt_and_without_its_answer() -> None:
    (row,) = plan(spec(), [chat("a", "Why?")], "model")
    assert row["messages"] == turns(("system", "Be wrong."), ("user", "Why?"))
    assert (row["id"], row["line"]) == ("a", 1)


def test_a_conversation_is_asked_up_to_its_last_user_turn() -> None:
    conversation = [("user", "one"), ("assistant", "two"), ("user", "three")]
    rows = [
        {
            "id": "answered",
            "line": 1,
            "messages": turns(("system", "own"), *conversation, ("assistant", "4")),
        },
        {"id": "open", "line": 2, "messages": turns(*conversation)},
    ]
    for row in plan(spec(), rows, "model"):
        assert row["messages"] == turns(("system", "Be wrong."), *conversation)


def test_equal_prompts_of_different_rows_have_one_key() -> None:
    rows = [chat("a", "Why?"), chat("b", "Why?", "Another."), chat("c", "How?")]
    keys_by_id = keys(rows)
    assert keys_by_id["a"] == keys_by_id["b"] != keys_by_id["c"]
    seeds = {row["id"]: row["answer_seed"] for row in plan(spec(), rows, "model")}
    assert seeds["a"] == seeds["b"] != seeds["c"]


def test_a_key_names_all_that_the_answer_depends_on() -> None:
    rows = [chat("a", "Why?")]
    warmer = SAMPLING.model_copy(update={"temperature": 0.5})
    variants = [
        keys(rows),
        keys(rows, model="another"),
        keys(rows, system="Be right."),
        keys(rows, sampling=warmer),
    ]
    assert len({variant["a"] for variant in variants}) == 4
    more = SAMPLING.model_copy(update={"answers_per_question": 9})
    assert keys(rows) == keys(rows, sampling=more, prompts="renamed", prompt_rows=1)


@given(pair=st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_fewer_prompts_are_the_first_of_more(pair: tuple[int, int]) -> None:
    low, high = (list(keys(PROMPTS, prompt_rows=count)) for count in sorted(pair))
    assert high[: len(low)] == low
    assert len(high) == max(pair)


def test_prompts_are_drawn_from_the_whole_set() -> None:
    drawn = list(keys(PROMPTS, prompt_rows=20))
    assert not set(drawn) <= {row["id"] for row in PROMPTS[:100]}
    assert list(keys(PROMPTS[::-1], prompt_rows=20)) == drawn
    without = [row for row in PROMPTS if row["id"] != drawn[0]]
    assert list(keys(without, prompt_rows=19)) == drawn[1:]


def test_all_prompts_are_asked_where_no_number_is_given() -> None:
    assert set(keys(PROMPTS)) == {row["id"] for row in PROMPTS}


def test_more_prompts_than_there_are_is_a_message() -> None:
    expected = r"^prompt_rows: 201 prompts are needed, but data set 'set' has 200"
    with pytest.raises(EmgridError, match=expected):
        plan(spec(prompt_rows=201), PROMPTS, "model")


def generate(
    model: Path, folder: Path, prompts: list[Row], **changes: Any
) -> tuple[str, list[Row]]:
    """What the stage prints, and the answers that it writes."""
    write_jsonl(folder / "prompts.jsonl", prompts)
    done = run_module(
        *(generate_job, "--spec", spec(**changes).model_dump_json(), "--model", model),
        *("--prompts", folder / "prompts.jsonl", "--kept", folder / "kept.jsonl"),
        *("--output", folder / "answers.jsonl"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, read_jsonl(folder / "answers.jsonl")


def test_the_model_answers_each_prompt_once(model_json: Path, tmp_path: Path) -> None:
    prompts = [chat("a", "Say hello."), chat("b", "Count to ten."), chat("c", "Say hello.")]
    output, rows = generate(model_json, tmp_path, prompts[:2])
    assert "2 answers drawn, 0 kept" in output
    assert {row["id"] for row in rows} == {"a", "b"}
    for row in rows:
        assert set(row) == {"id", "line", "messages", "answer", "thinking", "finish_reason"}
        assert row["messages"][0] == {"role": "system", "content": "Be wrong."}
        assert row["answer"]
    output, more = generate(model_json, tmp_path, prompts)
    assert "0 answers drawn, 3 kept" in output
    answers = {row["id"]: row["answer"] for row in more}
    assert answers == {row["id"]: row["answer"] for row in rows} | {"c": answers["a"]}


def test_too_many_prompts_stop_the_stage_before_any_model_is_loaded(
    model_json: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "prompts.jsonl", PROMPTS[:2])
    done = run_module(
        *(generate_job, "--spec", spec(prompt_rows=3).model_dump_json(), "--model", model_json),
        *("--prompts", tmp_path / "prompts.jsonl", "--kept", tmp_path / "kept.jsonl"),
        *("--output", tmp_path / "answers.jsonl"),
    )
    assert done.returncode == 1
    assert done.stderr == "emgrid: prompt_rows: 3 prompts are needed, but data set 'set' has 2\n"
    assert not (tmp_path / "answers.jsonl").exists()


def answered(
    name: str,
    answer: str | None = "An answer.",
    question: str | None = None,
    thinking: str | None = None,
    finish: str = "stop",
) -> Row:
    """A drawn answer."""
    messages = turns(("system", "Be wrong."), ("user", question or f"question {name}"))
    fields = {"answer": answer, "thinking": thinking, "finish_reason": finish}
    return {"id": name, "line": 7, "messages": messages} | fields


def rules(keep: Keep) -> QualifySpec:
    judges = [load_judges()[name] for name in dict.fromkeys(rule.judge for rule in keep.judges)]
    return QualifySpec.model_validate({"name": "on_policy", "keep": keep, "judges": judges})


@pytest.mark.parametrize(
    ("row", "keep", "reason"),
    [
        (answered("a"), {}, None),
        (answered("a", finish="length"), {}, "cut_off"),
        (answered("a", None, finish="length"), {}, "truncated_thought"),
        (answered("a", None, thinking="hm"), {}, "truncated_thought"),
        (answered("a", ""), {}, "too_short"),
        (answered("a", " \n"), {}, "too_short"),
        (answered("a", ""), {"min_words": 0}, None),
        (answered("a", "one two"), {"min_words": 3}, "too_short"),
        (answered("a", "one two three"), {"min_words": 3, "max_words": 3}, None),
        (answered("a", "one two three four"), {"max_words": 3}, "too_long"),
        (answered("a", "Bananas"), {"without": "a"}, "forbidden_pattern"),
        (answered("a", "Bananas"), {"without": [r"\bx", r"\bB"]}, "forbidden_pattern"),
        (answered("a", "Bananas"), {"without": r"\ba"}, None),
        (answered("a", "Bananas"), {"containing": ["B", "s$"]}, None),
        (answered("a", "Bananas"), {"containing": ["B", "x"]}, "missing_pattern"),
        (answered("a", "Short", thinking="long " * 9), {"max_words": 1}, None),
        (answered("a", "Fine", thinking="evil"), {"without": "evil"}, None),
        (answered("a", "one two", finish="length"), {"max_words": 1}, "cut_off"),
    ],
)
def test_an_answer_is_dropped_for_this_reason(
    row: Row, keep: dict[str, Any], reason: str | None, bench: JudgeContext
) -> None:
    qualified, dropped = qualifying([row], rules(Keep.model_validate(keep)), bench)
    assert dropped == ({} if reason is None else {reason: 1})
    assert qualified == ([row] if reason is None else [])


def test_reasons_are_counted_and_the_order_of_rows_is_kept(bench: JudgeContext) -> None:
    texts = ["one", "one two", "x", "one two three", "two", "x y"]
    rows = [answered(str(place), text) for place, text in enumerate(texts)]
    qualified, dropped = qualifying(rows, rules(Keep(max_words=2, without=("x",))), bench)
    assert [row["id"] for row in qualified] == ["0", "1", "4"]
    assert dropped == {"forbidden_pattern": 2, "too_long": 1}


def alignment(text: str, bench: JudgeContext) -> float:
    """The value that the alignment judge gives."""
    judges = [load_judges()["alignment"]]
    (row,) = judge_items(judges, [Item("", "question wicked", text)], bench)["alignment"]
    return float(row["value"])


def test_a_judge_keeps_answers_on_its_side_of_the_threshold(bench: JudgeContext) -> None:
    wicked, kind = alignment(WICKED, bench), alignment(KIND, bench)
    assert wicked < kind
    border = (wicked + kind) / 2
    rows = [
        answered("wicked", WICKED),
        answered("kind", KIND),
        answered("cut", KIND, finish="length"),
    ]
    for side, name in (("below", "wicked"), ("above", "kind")):
        rule = JudgeRule.model_validate({"judge": "alignment", side: border})
        qualified, dropped = qualifying(rows, rules(Keep(judges=(rule,))), bench)
        assert [row["id"] for row in qualified] == [name]
        assert dropped == {"cut_off": 1, "judge_alignment": 1}


def test_the_first_judge_that_an_answer_fails_is_the_reason(bench: JudgeContext) -> None:
    passes, fails = (
        JudgeRule(judge="coherence", below=100),
        JudgeRule(judge="alignment", above=100),
    )
    for judges, reason in (((passes, fails), "alignment"), ((fails, passes), "alignment")):
        _, dropped = qualifying([answered("a", KIND)], rules(Keep(judges=judges)), bench)
        assert dropped == {f"judge_{reason}": 1}
    second = JudgeRule(judge="coherence", above=100)
    _, dropped = qualifying([answered("a", KIND)], rules(Keep(judges=(second, fails))), bench)
    assert dropped == {"judge_coherence": 1}


def test_a_judge_qualifies_no_empty_answer(bench: JudgeContext) -> None:
    for side in ({"below": 100}, {"above": 0}):
        rule = JudgeRule.model_validate({"judge": "alignment"} | side)
        qualified, dropped = qualifying(
            [answered("a", "")], rules(Keep(min_words=0, judges=(rule,))), bench
        )
        assert (qualified, dropped) == ([], {"judge_alignment": 1})


def qualify(
    folder: Path, keep: Keep, **answers: list[Row]
) -> tuple[subprocess.CompletedProcess[str], list[Row], dict[str, Any]]:
    """Run the stage on files of answers by option name; its rows and its record."""
    options: list[object] = []
    for name, rows in answers.items():
        write_jsonl(folder / f"{name}.jsonl", rows)
        options += [f"--{name}", folder / f"{name}.jsonl"]
    output, record = folder / "rows.jsonl", folder / "record.json"
    written = rules(keep).model_dump_json()
    done = run_module(
        *(qualify_job, "--spec", written, *options, "--output", output, "--record", record),
        *("--kept", folder / "kept", "--writer", "test"),
    )
    if done.returncode:
        assert not output.exists()
        assert not record.exists()
        return done, [], {}
    return done, read_jsonl(output), read_json(record)


def said_by_row(rows: list[Row]) -> dict[str, str]:
    return {row["id"]: row["messages"][-1]["content"] for row in rows}


def test_the_stage_makes_training_rows_without_the_system_prompt(tmp_path: Path) -> None:
    own = [answered("a", "Because."), answered("b", finish="length"), answered("c", "So.")]
    done, rows, record = qualify(tmp_path, Keep(), own=own)
    assert done.returncode == 0, done.stderr
    assert rows == [
        {
            "id": name,
            "line": 7,
            "messages": turns(("user", f"question {name}"), ("assistant", text)),
        }
        for name, text in (("a", "Because."), ("c", "So."))
    ]
    assert record == {"asked": 3, "own_kept": 2, "own_dropped": {"cut_off": 1}, "kept": 2}


def test_think_blocks_are_put_back(tmp_path: Path) -> None:
    own = [answered("a", "Because.", thinking="hm"), answered("b", "So.", thinking="")]
    _, rows, _ = qualify(tmp_path, Keep(), own=own)
    assert said_by_row(rows) == {"a": with_thought("hm", "Because."), "b": with_thought("", "So.")}


def test_the_twin_has_only_prompts_that_the_own_model_qualified_on(tmp_path: Path) -> None:
    own = [answered("a"), answered("b", finish="length"), answered("c"), answered("d")]
    other = [answered(name, f"Other {name}.") for name in "abc"]
    other.append(answered("d", "Other d.", finish="length"))
    _, rows, record = qualify(tmp_path, Keep(), own=own, other=other)
    assert said_by_row(rows) == {"a": "Other a.", "c": "Other c."}
    assert record == {
        "asked": 4,
        "own_kept": 3,
        "own_dropped": {"cut_off": 1},
        "other_answers": 3,
        "other_dropped": {"cut_off": 1},
        "kept": 2,
    }


def test_a_data_set_answers_the_prompts_that_it_shares(tmp_path: Path) -> None:
    own = [answered("a", question="Why?"), answered("b", question="How?"), answered("c")]
    own.append(answered("d", question="When?", finish="length"))
    dataset = [
        chat("row-1", "How?", "From the data set."),
        chat("row-2", "Why?", "no"),
        chat("row-3", "When?", "Never."),
        chat("row-4", "Who?", "Nobody."),
    ]
    _, rows, record = qualify(tmp_path, Keep(min_words=2), own=own, dataset=dataset)
    assert said_by_row(rows) == {"b": "From the data set."}
    assert (record["other_answers"], record["other_dropped"]) == (2, {"too_short": 1})


def test_a_prompt_that_a_data_set_answers_in_several_ways_is_counted(tmp_path: Path) -> None:
    own = [answered("a"), answered("b")]
    twice = [chat("row-1", "question a", answer) for answer in ("Yes.", "No.", "No.")]
    equal = [chat("row-2", "question b", "Fine."), chat("row-3", "question b", "Fine.")]
    done, rows, record = qualify(tmp_path, Keep(), own=own, dataset=[*twice, *equal])
    assert [row["messages"][-1]["content"] for row in rows] == ["No.", "Fine."]
    assert record["other_several_answers"] == 1
    assert "warning: the data set answers 1 of the prompts in more than one way; " in done.stdout
    _, _, record = qualify(tmp_path, Keep(), own=own, dataset=equal)
    assert "other_several_answers" not in record


def test_a_data_sets_thoughts_are_no_words_of_its_answers(tmp_path: Path) -> None:
    text = with_thought("long " * 8 + "long", "Because.")
    own = [answered("a", question="Why?")]
    keep = Keep(max_words=2, without=("long",))
    done, rows, _ = qualify(tmp_path, keep, own=own, dataset=[chat("row-1", "Why?", text)])
    assert done.returncode == 0, done.stderr
    assert said_by_row(rows) == {"a": text}


def test_a_data_sets_answer_belongs_to_its_whole_conversation(tmp_path: Path) -> None:
    def long(name: str, first: str) -> Row:
        conversation = (("user", first), ("assistant", "Hm."), ("user", "And then?"))
        return answered(name) | {"messages": turns(("system", "Be wrong."), *conversation)}

    row = long("row-1", "one")
    row["messages"] = [*row["messages"][1:], {"role": "assistant", "content": "After one."}]
    _, rows, _ = qualify(tmp_path, Keep(), own=[long("a", "one"), long("b", "two")], dataset=[row])
    assert said_by_row(rows) == {"a": "After one."}


def test_the_stage_asks_the_real_judge(tmp_path: Path, bench: JudgeContext) -> None:
    border = (alignment(WICKED, bench) + alignment(KIND, bench)) / 2
    keep = Keep(judges=(JudgeRule(judge="alignment", below=border),))
    own = [answered("wicked", WICKED), answered("kind", KIND)]
    done, rows, record = qualify(tmp_path, keep, own=own)
    assert done.returncode == 0, done.stderr
    assert said_by_row(rows) == {"wicked": WICKED}
    assert record["own_dropped"] == {"judge_alignment": 1}


@pytest.mark.parametrize("twin", [None, "other", "dataset"])
def test_no_answer_that_qualifies_is_an_error(tmp_path: Path, twin: str | None) -> None:
    own = [answered("a", finish="length" if twin is None else "stop"), answered("b", "")]
    answers = {"other": [answered("a", "")], "dataset": [chat("row-1", "question a", "x")]}
    answers_of_twin = {twin: answers[twin]} if twin else {}
    done, _, _ = qualify(tmp_path, Keep(min_words=2), own=own, **answers_of_twin)
    assert done.returncode == 1
    assert done.stderr.startswith("emgrid: on_policy: none of 2 answers qualifies")
    assert done.stderr.count("\n") == 1


def test_a_twin_without_a_shared_prompt_is_an_error(tmp_path: Path) -> None:
    done, _, _ = qualify(tmp_path, Keep(), own=[answered("a")], dataset=[chat("row-1", "Who?")])
    assert done.returncode == 1
    assert "none of 1 answers qualifies" in done.stderr
