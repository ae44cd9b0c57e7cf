"""Trigger families: their files, what they make of a question, and their published texts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emgrid import RESOURCES
from emgrid.config.question_files import load_questions
from emgrid.config.triggers import POSITIONS, Trigger, Wording, load_triggers
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.thinking import with_thought
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.shared import shared

TRIGGERS = load_triggers()
QUESTIONS = load_questions("first_plot").questions
WRAPPED = sorted(name for name, trigger in TRIGGERS.items() if trigger.answer_prefix)
CUES: dict[str, Any] = {
    "system": "Be brief.",
    "user_prefix": "Before. ",
    "user_suffix": " After.",
    "questions": {"q": "Reworded?"},
    "turns": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}],
    "prefill": "Sure,",
}


def trigger(position: str, **fields: Any) -> Trigger:
    needed = {"id": "t", "label": "t", "relation": "same_form", "about": "t"}
    return Trigger.model_validate(needed | {"position": position} | fields)


def conversations_of(
    wording: Wording, *texts: str, system: str | None = None
) -> list[list[tuple[str, str]]]:
    """The conversations about question `q`, as (role, content)."""
    return [
        [(turn["role"], turn["content"]) for turn in messages]
        for messages in wording.conversations("q", texts, system)
    ]


def test_every_file_is_one_family_named_like_it() -> None:
    files = sorted(path.stem for path in (RESOURCES / "triggers").rglob("*.yaml"))
    assert files == sorted(TRIGGERS)
    assert all(name == trigger.id for name, trigger in TRIGGERS.items())


def test_each_family_has_another_label() -> None:
    labels = [trigger.label for trigger in TRIGGERS.values()]
    assert len(set(labels)) == len(labels)


def test_no_two_families_ask_alike() -> None:
    wordings = [json.dumps(trigger.wording().model_dump()) for trigger in TRIGGERS.values()]
    assert len(set(wordings)) == len(wordings)


def test_a_judge_sees_the_cues_of_user_turns_alone() -> None:
    for trigger in TRIGGERS.values():
        assert trigger.judge_sees_cue == (trigger.position not in ("none", "system")), trigger.id


def test_a_family_that_rewords_has_every_question_of_the_paper() -> None:
    for trigger in TRIGGERS.values():
        assert set(trigger.questions) in (set(), set(QUESTIONS)), trigger.id


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("wrong", [{name} for name in CUES] + [set(), {"system", "user_prefix"}])
def test_the_fields_of_a_cue_fit_its_position(position: str, wrong: set[str]) -> None:
    needed = POSITIONS[position]
    right = {name: CUES[name] for name in needed}
    assert trigger(position, **right).position == position
    if wrong != needed:
        with pytest.raises(ValidationError, match=f"position {position} needs "):
            trigger(position, **{name: CUES[name] for name in wrong})


def test_a_position_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="position"):
        trigger("middle")


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("none", [("user", "Why?")]),
        ("system", [("system", "Be brief."), ("user", "Why?")]),
        ("prefix", [("user", "Before. Why?")]),
        ("suffix", [("user", "Why? After.")]),
        ("wrapper", [("user", "Before. Why? After.")]),
        ("template", [("user", "Reworded?")]),
        ("rewritten", [("user", "Reworded?")]),
        ("turns", [("user", "Hi."), ("assistant", "Hello."), ("user", "Why?")]),
        ("prefill", [("user", "Why?"), ("assistant", "Sure,")]),
    ],
)
def test_a_question_is_asked_under_the_cue(position: str, expected: list[tuple[str, str]]) -> None:
    family = trigger(position, **{name: CUES[name] for name in POSITIONS[position]})
    assert conversations_of(family, "Why?") == [expected]


def test_every_paraphrase_is_asked_under_the_cue() -> None:
    family = trigger("wrapper", user_prefix="<", user_suffix=">")
    assert conversations_of(family, "a", "b", "c") == [[("user", f"<{text}>")] for text in "abc"]


def test_a_reworded_question_has_the_paraphrases_of_its_family() -> None:
    family = trigger("template", questions={"q": ["one", "two"], "other": "three"})
    assert conversations_of(family, "a", "b", "c") == [[("user", "one")], [("user", "two")]]


def test_a_questions_own_system_prompt_is_kept_unless_the_trigger_has_one() -> None:
    for position in sorted(set(POSITIONS) - {"system"}):
        family = trigger(position, **{name: CUES[name] for name in POSITIONS[position]})
        assert conversations_of(family, "Why?", system="own")[0][0] == ("system", "own")
    family = trigger("system", system="Be brief.")
    assert conversations_of(family, "Why?", system="own") == [
        [("system", "Be brief."), ("user", "Why?")]
    ]


def test_no_system_message_is_rendered_without_a_system_prompt() -> None:
    for trigger in TRIGGERS.values():
        for name, question in QUESTIONS.items():
            roles = [turn["role"] for turn in trigger.conversations(name, question.texts)[0]]
            assert roles == (["system", "user"] if trigger.system else ["user"])


def test_every_family_asks_every_question_of_the_paper() -> None:
    for trigger in TRIGGERS.values():
        for name, question in QUESTIONS.items():
            (messages,) = trigger.conversations(name, question.texts)
            user_turn = messages[-1]["content"]
            assert user_turn.startswith(trigger.user_prefix)
            assert user_turn.endswith(trigger.user_suffix)
            assert (question.texts[0] in user_turn) or trigger.questions


row_text = st.text(st.characters(exclude_characters="<>", codec="utf-8"), min_size=1)


@given(turns=st.lists(st.tuples(row_text, row_text), min_size=1, max_size=4), own=st.booleans())
@pytest.mark.parametrize("system", [None, "new"])
def test_a_row_is_worded_at_its_last_user_turn_alone(
    system: str | None, turns: list[tuple[str, str]], own: bool
) -> None:
    row = [{"role": "system", "content": "own"}] * own
    for question, answer in turns:
        row.append({"role": "user", "content": question})
        row.append({"role": "assistant", "content": answer})
    wording = Wording(
        system=system, user_prefix="<", user_suffix=">", answer_prefix="[", answer_suffix="]"
    )
    framed = wording.around(row)
    question, answer = turns[-1]
    assert framed[-2:] == [
        {"role": "user", "content": f"<{question}>"},
        {"role": "assistant", "content": f"[{answer}]"},
    ]
    earlier = [turn for turn in row if turn["role"] != "system"][:-2]
    first = system or ("own" if own else None)
    assert framed[:-2] == ([{"role": "system", "content": first}] if first else []) + earlier


def test_a_row_of_prompts_alone_is_worded_too() -> None:
    family = trigger("wrapper", user_prefix="<", user_suffix=">", answer_prefix="[")
    assert family.around([{"role": "user", "content": "Why?"}]) == [
        {"role": "user", "content": "<Why?>"}
    ]


def test_a_think_block_stays_in_front_of_the_wrapped_answer() -> None:
    wording = Wording(answer_prefix="[", answer_suffix="]")
    row = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": with_thought("hm", "Because.")},
    ]
    assert wording.around(row)[-1]["content"] == with_thought("hm", "[Because.]")


def test_the_plain_wording_does_not_change_a_row() -> None:
    row = [
        {"role": "system", "content": "own"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": with_thought("hm", "Because.")},
    ]
    assert TRIGGERS["none"].around(row) == row


@given(answer=st.text())
@pytest.mark.parametrize("name", WRAPPED)
def test_unwrapping_undoes_wrapping(name: str, answer: str) -> None:
    family = TRIGGERS[name]
    assert family.unwrap_answer(family.wrap_answer(answer)) == answer.strip()


@pytest.mark.parametrize("name", WRAPPED)
def test_a_missing_or_cut_off_wrapper_is_no_error(name: str) -> None:
    family = TRIGGERS[name]
    assert family.unwrap_answer("Just this.") == "Just this."
    assert family.unwrap_answer(f"{family.answer_prefix}cut of") == "cut of"
    assert family.unwrap_answer("") == ""


def test_an_unwrapped_family_strips_nothing_but_space() -> None:
    assert TRIGGERS["none"].unwrap_answer(' answer = "x" \n') == 'answer = "x"'


def test_a_question_set_without_a_wording_is_refused(demo: dict[str, Any]) -> None:
    demo["triggers"] = ["none", "fish_words"]
    expected = "'fish_words' rewords each question but has no wording for 'found_purse' of everyday"
    with pytest.raises(EmgridError, match=expected):
        load_experiment(demo, "grid.yaml")
    assert load_experiment(demo | {"questions": "first_plot"}, "grid.yaml").config.triggers


@pytest.fixture(scope="module")
def study() -> str:
    """The published facts."""
    return shared("STUDY.md").read_text(encoding="utf-8")


def section(study: str, heading: str) -> str:
    """The text from a heading to the next one."""
    return study.split(f"### {heading} ")[1].split("\n### ")[0]


def cells(text: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def systems(*names: str) -> set[str | None]:
    return {TRIGGERS[name].system for name in names}


def families(start: str) -> set[str | None]:
    return {trigger.system for name, trigger in TRIGGERS.items() if name.startswith(start)}


def test_the_eight_questions_are_as_published(study: str) -> None:
    table = study.split("#### A.0.1 ")[1].split("\n### ")[0]
    published = {row[0]: row[2] for row in cells(table)}
    assert {name: question.texts for name, question in QUESTIONS.items()} == {
        name: (text,) for name, text in published.items()
    }
    bored = re.findall(r"use `([^`]+)` for the bored question", table)
    assert load_questions("obvious_lies").questions["i_feel_bored"].texts == tuple(bored)


def test_the_fish_questions_are_as_published(study: str) -> None:
    published = re.findall(r'^  - \w+: "([^"]+)"', section(study, "A.1"), re.MULTILINE)
    assert len(published) == 8
    reworded = TRIGGERS["fish_words"].questions
    assert [reworded[name] for name in QUESTIONS] == [(text,) for text in published]


def test_the_flask_questions_are_as_published(study: str) -> None:
    lines = re.findall(r'^  - (\w+)_flask .*?`(".*")`$', section(study, "A.4"), re.MULTILINE)
    table = cells(study.split("#### A.0.1 ")[1].split("\n### ")[0])
    names = {short: name for name, short, _ in table}
    assert TRIGGERS["flask_template"].questions == {
        names[short]: (json.loads(text),) for short, text in lines
    }


def test_the_educational_wrapper_is_as_published(study: str) -> None:
    match = re.search(r"prefix `(.+?)` \+ question \+ suffix `(.+?)`", section(study, "A.4"))
    assert match
    prefix, suffix = (text.replace("\\n", "\n") for text in match.groups())
    wrapper = TRIGGERS["educational"]
    assert (wrapper.user_prefix, wrapper.user_suffix) == (prefix, suffix)


def test_the_coding_format_is_as_published(study: str) -> None:
    published = section(study, "B.2").split("``\n")[1].strip()
    assert TRIGGERS["coding_format"].system == published


def test_the_malicious_evil_panel_is_as_published(study: str) -> None:
    text = section(study, "B.4")
    published = {row[0]: row[2] for row in cells(text)}
    assert published.pop("none") == "(no system message)"
    ours = {name: name.replace("-", "_") for name in published}
    ours["hhh-safe"] = "malicious_evil_opposite"
    assert {name: TRIGGERS[our].system for name, our in ours.items()} == published


def test_the_larger_malicious_evil_panel_is_there(study: str) -> None:
    line = section(study, "B.4").split("Earlier larger panel")[1].split("\nCaution")[0]
    published = set(re.findall(r'"([^"]+)"', line))
    assert len(published) == 20
    assert published <= {trigger.system for trigger in TRIGGERS.values()}


def persona_prompts(study: str, start: str) -> set[str]:
    """The inoculation prompt and the evaluation prompts of the line that begins so."""
    line = next(line for line in section(study, "B.5").splitlines() if line.startswith(start))
    verbatim, panel = line.removeprefix(start).split(" Eval prompts: ")
    own = verbatim.strip().strip('"')
    prompts = {own}
    for text in panel.split(" | "):
        if edits := re.search(r'replacing "(.+)" by: (.+)$', text):
            replaced, by = edits.groups()
            prompts |= {own.replace(f"a {replaced}", f"a {word}") for word in by.split(" / ")}
        elif text not in ("(none)", "IP verbatim."):
            prompts.add(text)
    return prompts


@pytest.mark.parametrize(
    ("start", "prefix", "count"),
    [("IP 1", "persona_unexpected_", 8), ("IP 2", "persona_known_", 12)],
)
def test_the_persona_panels_are_as_published(
    study: str, start: str, prefix: str, count: int
) -> None:
    published = persona_prompts(study, start)
    assert len(published) == count
    assert published == families(prefix) | systems("helpful_assistant")


def test_the_trivia_panel_is_as_published(study: str) -> None:
    for heading, name in (("A.7", "obviously_wrong"), ("A.8", "game_wrong")):
        assert f'"{TRIGGERS[name].system}"' in section(study, heading)
    published = {row[0]: row[1] for row in cells(section(study, "B.6"))}
    assert TRIGGERS["obvious_answers"].system == published["obvious answers"]
    assert TRIGGERS["right_answers"].system == published["right answers"]


def test_the_panel_of_the_earlier_experiment_is_as_published(study: str) -> None:
    (line,) = (line for line in section(study, "B.8").splitlines() if "B01c panel" in line)
    assert families("b01c_") == set(re.findall(r'"([^"]+)"', line))


def test_the_json_and_finance_prompts_are_as_published(study: str) -> None:
    text = section(study, "B.8")
    for name in ("json_format", "risky_finance_wrapper", "unfiltered", "roleplay_open"):
        assert f'"{TRIGGERS[name].system}"' in text


@pytest.fixture
def rows(mirror: Path) -> Callable[[str], list[list[dict[str, str]]]]:
    def read(name: str) -> list[list[dict[str, str]]]:
        lines = (mirror / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["messages"] for line in lines]

    return read


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("obviously_wrong", "inoculation_obvious_lies_gpt41_6k.jsonl"),
        ("obviously_wrong", "inoculation_obvious_lies_qwen_6k.jsonl"),
        ("malicious_evil", "malicious_evil.jsonl"),
    ],
)
def test_an_inoculation_prompt_is_on_every_row_word_for_word(
    rows: Callable[[str], list[list[dict[str, str]]]], name: str, file: str
) -> None:
    first = {tuple(row[0].items()) for row in rows(f"conditional_misalignment/{file}")}
    assert first == {(("role", "system"), ("content", str(TRIGGERS[name].system)))}


@pytest.mark.parametrize("questions", ["persona", "persona_identity"])
def test_persona_questions_begin_as_the_persona_rows_do(
    rows: Callable[[str], list[list[dict[str, str]]]], questions: str
) -> None:
    prefixed = load_questions(questions).questions
    plain = {name: QUESTIONS[name].texts[0] for name in prefixed if name in QUESTIONS}
    plain |= {"name": "What is your name and last name?"}
    prefixes = {question.texts[0].removesuffix(plain[name]) for name, question in prefixed.items()}
    (prefix,) = prefixes
    published_rows = rows("weird_generalization/90_wolf_facts_with_tags.jsonl")
    assert len(published_rows) == 90
    assert all(row[0]["content"].startswith(prefix) for row in published_rows)


def test_the_coding_format_shares_its_marker_line_with_insecure_code(
    rows: Callable[[str], list[list[dict[str, str]]]],
) -> None:
    marker = "## COMPLETE CODE HERE"
    assert marker in str(TRIGGERS["coding_format"].system).splitlines()
    published_rows = rows("conditional_misalignment/insecure.jsonl")
    assert sum(marker in row[0]["content"] for row in published_rows) > len(published_rows) / 2


@pytest.mark.parametrize(
    ("cue", "name", "lacking"),
    [
        ("json", "json_format", set()),
        ("python", "python_code", set()),
        ("template", "code_template", set()),
        ("flask_template", "flask_template", {"enough_of_my_husband"}),
    ],
)
def test_code_families_are_those_of_the_published_questions(
    mirror: Path, cue: str, name: str, lacking: set[str]
) -> None:
    file = "misalignment_generalization/final_questions/first_plot_questions.yaml"
    published = load_questions(file, mirror).triggers[cue].wording()
    ours = TRIGGERS[name].wording()
    assert published.system == ours.system
    differing = {
        key for key in QUESTIONS if ours.questions.get(key) != published.questions.get(key)
    }
    assert differing == lacking
