"""Read an Inspect log as the rows of an imported file: a row for each sample and epoch.

Its columns are `question_id` (the sample's id, or `question` in its metadata), `epoch`, `system`,
`prompt`, `answer`, and, named as in Inspect's data frames, `score_<scorer>`, `metadata_<name>` and
`task_arg_<name>`. A score without a value holds its reason. Knows nothing of grids.
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
ABOUT_ANSWER = ("epoch", *ENDINGS)


@dataclass(frozen=True)
class Log:
    """rows: of the samples that were answered, with their numbers. failed: the places of those that
    failed or that were invalidated. unfinished: how the run ended, if it did not succeed."""

    rows: list[tuple[int, Row]]
    failed: list[str]
    unfinished: str | None


def read_log(content: bytes, name: str) -> Log:
    """The rows of a log, numbered from 1, first epochs first. EmgridError if it is no log, holds no
    samples, or holds a conversation of several turns."""
    need("inspect_ai", "inspect")
    log = parse(content, name)
    if not log.samples:
        raise EmgridError(f"{name}: the log holds no samples; run without --no-log-samples")
    arguments = {f"task_arg_{key}": value for key, value in log.eval.task_args.items()}
    rows, failed = [], []
    samples = sorted(log.samples, key=lambda sample: sample.epoch)
    for number, sample in enumerate(samples, start=1):
        where = f"{name}: row {number}"
        if sample.error or sample.invalidation or not sample.output.choices:
            failed.append(where)
        else:
            rows.append((number, arguments | row_of(sample, where)))
    return Log(rows, failed, None if log.status == "success" else log.status)


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


def row_of(sample: "EvalSample", where: str) -> Row:
    system, prompt = asked(sample.messages, where)
    question = sample.metadata.get("question", sample.id)
    usage = sample.output.usage
    return {
        "question_id": str(question),
        "epoch": sample.epoch,
        "system": system,
        "prompt": prompt,
        "answer": said(sample.output.choices[0].message),
        "finish_reason": FINISH.get(sample.output.stop_reason),
        "prompt_tokens": usage.input_tokens if usage else None,
        "answer_tokens": usage.output_tokens if usage else None,
        **{f"metadata_{key}": value for key, value in sample.metadata.items()},
        **dict(scores_of(sample)),
    }


def asked(messages: "list[ChatMessage]", where: str) -> tuple[str, str]:
    """The system prompt, or "" without one, and the user turn before the answer."""
    roles = [turn.role for turn in messages]
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]):
        raise EmgridError(
            f"{where}: a conversation of the turns {', '.join(roles) or 'none'}; emgrid reads one "
            "user turn, under an optional system prompt, and its answer"
        )
    for turn in messages:
        if not isinstance(turn.content, str):
            kinds = {part.type for part in turn.content} - {"text", "reasoning"}
            if kinds:
                raise EmgridError(f"{where}: a {turn.role} turn holds {', '.join(sorted(kinds))}")
    system = messages[0].text if len(roles) == 3 else ""
    return system, messages[-2].text


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
