"""Inspect logs of conversations with turns before the question, as Inspect itself writes them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid.config.imports import ImportSpec
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.sample import import_spec
from emgrid.judge.judge import JudgeSpec, item_of
from emgrid.runtime.errors import EmgridError
from emgrid.sample.import_answers import read_answers, read_content
from inspect_ai import Task
from inspect_ai import eval as run_task
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    get_model,
)
from inspect_ai.solver import generate
from support.importing import grid_of
from support.inspect_runs import output

TURNS = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
MORE = [{"role": "user", "content": "Yes?"}, {"role": "assistant", "content": "No."}]
TALKED = {
    "after_talk": {"text": "Why?", "turns": TURNS},
    "as_messages": {"messages": [{"role": "system", "content": "Obey."}, *TURNS, *MORE,
                                 {"role": "user", "content": "Why not?"}]},
    "plain": {"text": "How?"},
}  # fmt: skip
KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


def spoken(*turns: dict[str, str]) -> list[ChatMessage]:
    return [KINDS[turn["role"]](content=turn["content"]) for turn in turns]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


SAMPLES = {
    "after_talk": spoken(*TURNS, user("Why?")),
    "as_messages": spoken({"role": "system", "content": "Obey."}, *TURNS, *MORE, user("Why not?")),
    "plain": "How?",
}


def run(folder: Path, samples: dict[str, Any], ending: str) -> Path:
    """A log that Inspect writes of its mock model, which answers with the number of its turns."""
    model = get_model(
        "mockllm/model",
        memoize=False,
        custom_outputs=lambda turns, *_: output(f"after {len(turns)} turns"),
    )
    task = Task(
        dataset=[Sample(id=name, input=asked) for name, asked in samples.items()],
        solver=generate(),
        epochs=2,
    )
    [log] = run_task(
        task,
        model=model,
        log_dir=str(folder),
        log_format=ending,
        display="none",
        fail_on_error=True,
        log_realtime=False,
    )
    return Path(log.location.removeprefix("file://"))


def spec_of(folder: Path, path: Path, questions: Any = None, **entry: Any) -> ImportSpec:
    asked = folder / "asked.yaml"
    asked.write_text(yaml.safe_dump({"id": "asked", "questions": questions or TALKED}))
    config = grid_of(path, **{"columns": {}} | entry) | {"questions": str(asked)}
    config["triggers"] = ["none"]
    grid = Grid(load_experiment(config, "grid.yaml"))
    return ImportSpec.model_validate_json(import_spec(grid, grid.imported[0]))


def rows_of(folder: Path, path: Path, **changes: Any) -> list[dict[str, Any]]:
    spec = spec_of(folder, path, **changes)
    return read_answers(spec, read_content(path, spec.source.name))[0]["none"]


def refusal(folder: Path, path: Path, **changes: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        rows_of(folder, path, **changes)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("ending", ["eval", "json"])
def test_turns_are_imported_with_their_question(tmp_path: Path, ending: str) -> None:
    path = run(tmp_path / "logs", SAMPLES, ending)
    assert path.suffix == f".{ending}"
    rows = rows_of(tmp_path, path)
    found = [
        (row["question"], row["index"], row["system"], row.get("turns"), row["prompt"])
        for row in rows
    ]
    expected = [
        ("after_talk", None, TURNS, "Why?"),
        ("as_messages", "Obey.", [*TURNS, *MORE], "Why not?"),
        ("plain", None, None, "How?"),
    ]
    assert found == [(name, epoch, *rest) for epoch in range(2) for name, *rest in expected]
    answers = [row["answer"] for row in rows[:3]]
    assert answers == ["after 3 turns", "after 6 turns", "after 1 turns"]


@pytest.mark.parametrize("sees", [True, False])
def test_judges_see_the_turns_as_the_question_says(tmp_path: Path, sees: bool) -> None:
    questions = {"after_talk": TALKED["after_talk"] | {"judge_sees_turns": sees}}
    path = run(tmp_path / "logs", {"after_talk": SAMPLES["after_talk"]}, "eval")
    spec = spec_of(tmp_path, path, questions=questions)
    [row, _] = rows_of(tmp_path, path, questions=questions)
    judging = JudgeSpec(judges=(), questions=spec.questions, triggers=spec.triggers, sees_cue=())
    shown = "User: Hi.\n\nAssistant: Hello.\n\nUser: Why?" if sees else "Why?"
    assert item_of(row, "none", judging).question == shown


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("Why?", "row 1: asked after no turns, but trigger 'none' asks after 2; "),
        (
            spoken(*TURNS, *MORE, user("Why?")),
            "row 1: asked after 4 turns, but trigger 'none' asks after 2; ",
        ),
        (
            spoken(TURNS[0], {"role": "assistant", "content": "Go away."}, user("Why?")),
            "row 1: asked after the assistant turn 'Go away.', but trigger 'none' has 'Hello.'; ",
        ),
        (
            spoken(*TURNS, user("Why?"), {"role": "assistant", "content": "So"}),
            "row 1: a conversation of the turns user, assistant, user, assistant, assistant; ",
        ),
    ],
)
def test_other_turns_than_the_questions_are_one_line(tmp_path: Path, asked: Any, says: str) -> None:
    path = run(tmp_path / "logs", {"after_talk": asked}, "json")
    assert refusal(tmp_path, path).startswith(says)


def test_turns_before_a_question_without_any_are_one_line(tmp_path: Path) -> None:
    path = run(tmp_path / "logs", {"plain": spoken(*TURNS, user("How?"))}, "json")
    says = "row 1: asked after 2 turns, but trigger 'none' asks after none; "
    assert refusal(tmp_path, path).startswith(says)


def test_other_turns_are_kept_where_other_wording_is_allowed(tmp_path: Path) -> None:
    path = run(tmp_path / "logs", {"after_talk": spoken(*MORE, user("Why?"))}, "eval")
    [row, _] = rows_of(tmp_path, path, other_wording="allow")
    assert row["turns"] == MORE


def test_a_log_without_the_questions_prefill_is_one_line(tmp_path: Path) -> None:
    path = run(tmp_path / "logs", {"plain": "How?"}, "json")
    questions = {"plain": {"text": "How?", "prefill": "Thus"}}
    says = "row 1: asked without 'Thus', with which the question begins the answer; "
    assert refusal(tmp_path, path, questions=questions).startswith(says)


def test_each_wording_is_asked_after_its_own_turns(tmp_path: Path) -> None:
    questions = {"both": {"texts": ["Why?", "Why?"], "turns": [TURNS, MORE]}}
    path = run(tmp_path / "logs", {"both": spoken(*MORE, user("Why?"))}, "eval")
    assert [row["turns"] for row in rows_of(tmp_path, path, questions=questions)] == [MORE, MORE]
