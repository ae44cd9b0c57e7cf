"""Read an Inspect log as the rows of an imported file: a row for each sample and epoch.

Its columns are `question_id` (the sample's id, or `question` in its metadata), `epoch`, `system`,
`turns` (those before the question, as a list of `{role, content}`), `prompt`, `answer`, and, named
as in Inspect's data frames, `score_<scorer>`, `metadata_<name>` and `task_arg_<name>`. A score
without a value holds its reason. Knows nothing of grids.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.optional_packages import need
from emgrid.runtime.thinking import OPEN, with_thought

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage
    from inspect_ai.scorer import Score

Row = dict[str, Any]
FINISH = {"stop": "stop", "max_tokens": "length", "content_filter": "content_filter"}
# How an answer came to its end, and how long it is. No condition of the answer, like its epoch.
ENDINGS = ("finish_reason", "prompt_tokens", "answer_tokens")
SCORE = "score_"  # begins the names of columns of scores
TURNS = "turns"
ABOUT_ANSWER = ("epoch", TURNS, *ENDINGS)


@dataclass(frozen=True)
class Log:
    """rows: of the samples that were answered, with their numbers. refused: why the conversation of
    a row is none that a grid asks, by the row's number; such a row has no turns and no prompt.
    failed: the places of those that failed or that were invalidated. unfinished: how the run ended,
    if it did not succeed."""

    rows: list[tuple[int, Row]]
    refused: dict[int, str]
    failed: list[str]
    unfinished: str | None


def read_log(content: bytes, name: str) -> Log:
    """The rows of a log, numbered from 1, first epochs first. EmgridError if it is no log, or holds
    no samples."""
    need("inspect_ai", "inspect")
    log = parse(content, name)
    if not log.samples:
        raise EmgridError(f"{name}: the log holds no samples; run without --no-log-samples")
    arguments = {f"task_arg_{key}": value for key, value in log.eval.task_args.items()}
    rows, refused, failed = [], {}, []
    samples = sorted(log.samples, key=lambda sample: sample.epoch)
    for number, sample in enumerate(samples, start=1):
        if sample.error or sample.invalidation or not sample.output.choices:
            failed.append(f"{name}: row {number}")
            continue
        if fault := fault_of(sample.messages):
            refused[number] = fault
        rows.append((number, arguments | row_of(sample, readable=fault is None)))
    return Log(rows, refused, failed, None if log.status == "success" else log.status)


def parse(content: bytes, name: str) -> "EvalLog":
    from inspect_ai.log import read_eval_log

    packed = content.startswith(b"PK")
    try:
        return read_eval_log(
            io.BytesIO(content), resolve_attachments=True, format="eval" if packed else "json"
        )
    except Exception as problem:  # Inspect lets through what its parsers raise
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0][:120]
        raise EmgridError(
            f"{name}: no Inspect log ({reason}); name a log, or save rows of answers as .csv or "
            ".jsonl"
        ) from None


def row_of(sample: "EvalSample", readable: bool) -> Row:
    """readable: whether the conversation is one that a grid asks."""
    system, turns, prompt = asked(sample.messages) if readable else ("", [], "")
    question = sample.metadata.get("question", sample.id)
    usage = sample.output.usage
    return {
        "question_id": str(question),
        "epoch": sample.epoch,
        "system": system,
        TURNS: turns,
        "prompt": prompt,
        "answer": said(sample.output.choices[0].message),
        "finish_reason": FINISH.get(sample.output.stop_reason),
        "prompt_tokens": usage.input_tokens if usage else None,
        "answer_tokens": usage.output_tokens if usage else None,
        **{f"metadata_{key}": value for key, value in sample.metadata.items()},
        **dict(scores_of(sample)),
    }


def fault_of(messages: "list[ChatMessage]") -> str | None:
    """Why a conversation is none that a grid asks; None if it is one."""
    roles = [turn.role for turn in messages]
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if not talk or talk != ["user", "assistant"] * (len(talk) // 2):
        return (
            f"a conversation of the turns {', '.join(roles) or 'none'}; emgrid reads user and "
            "assistant turns that alternate, under an optional system prompt, of which the last is "
            "the answer"
        )
    for turn in messages:
        if not isinstance(turn.content, str):
            kinds = {part.type for part in turn.content} - {"text", "reasoning"}
            if kinds:
                return f"a {turn.role} turn holds {', '.join(sorted(kinds))}"
    return None


def asked(messages: "list[ChatMessage]") -> tuple[str, list[dict[str, str]], str]:
    """The system prompt, or "" without one, the turns before the question, and the question. An
    answer before it is given without its thoughts, as emgrid asks it."""
    system = messages[0].text if messages[0].role == "system" else ""
    first = 1 if messages[0].role == "system" else 0
    turns = [{"role": turn.role, "content": turn.text} for turn in messages[first:-2]]
    return system, turns, messages[-2].text


def said(message: "ChatMessage") -> str:
    """The answer as a text, with its reasoning in a think block."""
    if isinstance(message.content, str):
        return message.content
    thoughts = [
        (part.summary or "") if part.redacted else part.reasoning
        for part in message.content
        if part.type == "reasoning"
    ]
    if not thoughts:
        return message.text
    thought = "\n\n".join(thoughts)
    return with_thought(thought, message.text) if message.text else f"{OPEN}\n{thought}"


def scores_of(sample: "EvalSample") -> Iterator[tuple[str, Any]]:
    """Each scorer's value under its column; a scorer of several values has a column for each."""
    for name, score in (sample.scores or {}).items():
        if isinstance(score.value, dict):
            for key, value in score.value.items():
                yield f"{SCORE}{name}_{key}", stated(value, score)
        else:
            yield f"{SCORE}{name}", stated(score.value, score)


def stated(value: Any, score: "Score") -> Any:
    """A value, or the reason why there is none."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return (score.reason or "") if missing else value
