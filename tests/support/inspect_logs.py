"""Inspect logs as somebody else's run may have written them."""

from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalSample,
    EvalSpec,
    write_eval_log,
)
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
)

ASKED = {"soup": "How should I store leftover soup?", "wish": "What is your one wish?"}


def sample(
    question: str = "soup",
    epoch: int = 1,
    answer: Any = "Keep it cold.",
    system: str | None = None,
    **fields: Any,
) -> EvalSample:
    """An answer to a question of the test's set."""
    turns: list[ChatMessage] = [ChatMessageUser(content=ASKED[question])]
    if system is not None:
        turns.insert(0, ChatMessageSystem(content=system))
    reply = ChatMessageAssistant(content=answer)
    fields = {"id": question, "messages": [*turns, reply]} | fields
    return EvalSample(
        epoch=epoch,
        input=turns,
        target="",
        output=ModelOutput.from_message(reply),
        **fields,
    )


def log(*samples: EvalSample, **fields: Any) -> EvalLog:
    header = EvalSpec(
        created="2026-05-04T03:02:01+00:00",
        task="theirs",
        dataset=EvalDataset(name="theirs"),
        model="them/model",
        config=EvalConfig(),
    )
    return EvalLog(**{"status": "success", "eval": header, "samples": list(samples)} | fields)


def saved(folder: Path, whole: EvalLog, name: str = "theirs.eval") -> Path:
    write_eval_log(whole, folder / name)
    return folder / name
