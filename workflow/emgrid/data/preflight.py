"""Check a training set before a GPU is spent on it.

Reads a stage's rows and its base model's tokenizer. Writes preflight.json: tokens and findings by
source. A finding is an error, which stops the stage, or a warning, which the report shows; RULES
says which is which, and the config's `preflight` section may say otherwise.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.triggers import Message
from emgrid.data.convert import Row
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.models.thinking import split_thinking
from emgrid.runtime.errors import EmgridError, run_job
from emgrid.runtime.files import canonical, digest, read_json, read_jsonl, write_json

Level = Literal["error", "warning"]
# Training would stop at these, whatever a config says.
Fatal = Literal["unrenderable", "no_trained_token"]
Adjustable = Literal[
    "empty_answer",
    "missing_thought",
    "altered_text",
    "control_token",
    "double_end",
    "no_end",
    "role_order",
    "duplicate",
    "both_roles",
    "same_prompt",
    "cut",
    "newline_merge",
]
Finding = Fatal | Adjustable
VERSION = 2  # raised when a check would find something else
RULES: dict[Finding, tuple[Level, str]] = {
    "unrenderable": ("error", "the chat template refuses the conversation"),
    "no_trained_token": ("error", "no assistant token lies within training.max_length; raise it"),
    "empty_answer": ("error", "an assistant turn says nothing beside its think block"),
    "missing_thought": ("error", "the recipe is about think blocks, and the row has none"),
    "altered_text": ("error", "the chat template drops, cuts or changes what a turn says"),
    "control_token": ("error", "a turn holds text that the tokenizer reads as a control token"),
    "double_end": ("error", "an assistant turn holds an end token of its own, or ends twice"),
    "no_end": ("warning", "the template writes no end token, so stopping is not trained"),
    "role_order": ("warning", "user and assistant turns do not alternate"),
    "duplicate": ("warning", "an earlier row of the training set is the same conversation"),
    "both_roles": (
        "error",
        "the same conversation is a misaligned row and a benign row of the training set",
    ),
    "same_prompt": (
        "warning",
        "the training set answers the same conversation before a trained turn in other words, too",
    ),
    "cut": ("warning", "longer than max_length: the end of the row is not trained"),
    "newline_merge": (
        "warning",
        "tokenised as a whole, the template's text merges with an answer's first or last "
        "characters; emgrid tokenises them apart, as generation does",
    ),
}
SHOWN = 3


class PreflightSpec(Strict):
    """thoughts: data sets whose rows need a think block. levels: overrides of RULES."""

    stage: str
    base: str
    max_length: int
    turns: Literal["all", "final"]
    thoughts: tuple[str, ...] = ()
    levels: dict[Adjustable, Level] = Field(default_factory=dict)


def alternates(messages: list[Message]) -> bool:
    roles = [turn["role"] for turn in messages if turn["role"] != "system"]
    return all(role == ("user", "assistant")[place % 2] for place, role in enumerate(roles))


def trained_places(messages: list[Message], turns: str) -> list[int]:
    """Where the trained assistant turns are; one that opens the row answers nothing."""
    places = [place for place, turn in enumerate(messages) if place and turn["role"] == "assistant"]
    return places if turns == "all" else places[-1:]


def trained_turns(messages: list[Message], turns: str) -> list[Message]:
    """The assistant turns that are trained."""
    return [messages[place] for place in trained_places(messages, turns)]


class TrainingSet:
    """What only all rows together show: who else holds a conversation, and how a prompt is
    answered elsewhere. Built before the rows are checked one by one."""

    def __init__(self, rows: list[Row], roles: dict[str, str], turns: str) -> None:
        """roles: by source. turns: the assistant turns that are trained."""
        self.turns = turns
        self.roles: dict[str, set[str]] = {}
        self.answers: dict[str, set[str]] = {}
        for row in rows:
            role = roles[row["source"]]
            self.roles.setdefault(digest(row["messages"]), set()).add(role)
            for prompt, answer in self.asked(row["messages"]):
                self.answers.setdefault(prompt, set()).add(answer)

    def asked(self, messages: list[Message]) -> list[tuple[str, str]]:
        """Hash of what comes before each trained turn, and that turn's text."""
        return [
            (digest(messages[:place]), messages[place]["content"])
            for place in trained_places(messages, self.turns)
        ]

    def faults(self, messages: list[Message]) -> list[Finding]:
        found: list[Finding] = []
        if len(self.roles[digest(messages)]) > 1:
            found.append("both_roles")
        if any(len(self.answers[prompt]) > 1 for prompt, _ in self.asked(messages)):
            found.append("same_prompt")
        return found


def faults_of_text(row: Row, spec: PreflightSpec, seen: set[str]) -> list[Finding]:
    """What the conversation itself shows; `seen` holds the conversations of earlier rows."""
    found: list[Finding] = []
    messages = row["messages"]
    if not alternates(messages):
        found.append("role_order")
    text = canonical(messages)
    if text in seen:
        found.append("duplicate")
    seen.add(text)
    replies = [split_thinking(turn["content"]) for turn in trained_turns(messages, spec.turns)]
    if not all((answer or "").strip() for _, answer in replies):
        found.append("empty_answer")
    if row["source"] in spec.thoughts and replies[-1][0] is None:
        found.append("missing_thought")
    return found


def holds_control_token(turn: Message, chat: ChatFormat) -> bool:
    """Whether a turn's text would be read as a control token; an answer's end tokens apart, which
    are counted where they are trained."""
    ends = chat.end_texts if turn["role"] == "assistant" else []
    return any(token in turn["content"] for token in chat.control_tokens if token not in ends)


def is_altered(text: str, messages: list[Message], turns: str) -> bool:
    """Whether a rendered conversation lacks what a turn says, or has it in another order.

    White space around a text may be trimmed, and thoughts of answers that are not trained left out.
    """
    replies = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
    trained = replies if turns == "all" else replies[-1:]
    parts: list[str | None] = []
    for number, turn in enumerate(messages):
        if turn["role"] == "assistant" and (thought := split_thinking(turn["content"])[0]):
            parts += [thought] if number in trained else []
            parts.append(split_thinking(turn["content"])[1])
        else:
            parts.append(turn["content"])
    place = 0
    for part in ((one or "").strip() for one in parts):
        place = text.find(part, place)
        if place < 0:
            return True
        place += len(part)
    return False


def faults_of_tokens(
    whole: TokenizedRow, row: Row, chat: ChatFormat, spec: PreflightSpec
) -> list[Finding]:
    """What the rendered and tokenised row shows."""
    found: list[Finding] = []
    trained = len(trained_turns(row["messages"], spec.turns))
    ends = sum(label in chat.eos_token_ids for label in whole.labels)
    if ends > trained:
        found.append("double_end")
    if any(holds_control_token(turn, chat) for turn in row["messages"]):
        found.append("control_token")
    if ends < trained:
        found.append("no_end")
    if len(whole.input_ids) > spec.max_length:
        found.append("cut")
    if not whole.cut(spec.max_length).trained:
        found.append("no_trained_token")
    text = chat.render(row["messages"], answer_follows=False)
    if is_altered(text, row["messages"], spec.turns):
        found.append("altered_text")
    if chat.encode(text) != whole.input_ids:
        found.append("newline_merge")
    return found


def inspect(row: Row, chat: ChatFormat, spec: PreflightSpec) -> tuple[TokenizedRow, list[Finding]]:
    """The row's tokens and its faults; a row that cannot be rendered has no tokens."""
    from jinja2 import TemplateError

    try:
        whole = chat.training_row(row["messages"], spec.turns)
    except (TemplateError, EmgridError) as problem:
        print(f"{spec.stage}: row {row['id']!r} of {row['source']}: {problem}")
        return TokenizedRow([], []), ["unrenderable"]
    return whole.cut(spec.max_length), faults_of_tokens(whole, row, chat, spec)


def check(rows: list[Row], mix: dict[str, Any], chat: ChatFormat, spec: PreflightSpec) -> Row:
    """The record of one training set: tokens and findings by source, and what they mean."""
    sources = {
        one["source"]: one | {"tokens": 0, "trained_tokens": 0} | dict.fromkeys(RULES, 0)
        for one in mix["sources"]
    }
    places: dict[Finding, list[str]] = {}
    roles = {one["source"]: one["role"] for one in mix["sources"]}
    whole = TrainingSet(rows, roles, spec.turns)
    seen: set[str] = set()
    for row, origin in zip(rows, mix["origins"], strict=True):
        short, faults = inspect(row, chat, spec)
        source = sources[row["source"]]
        source["tokens"] += len(short.input_ids)
        source["trained_tokens"] += short.trained
        faults += faults_of_text(row, spec, seen) + whole.faults(row["messages"])
        for finding, count in Counter(faults).items():
            source[finding] += count
            places.setdefault(finding, []).append(origin)
    levels = {str(finding): level for finding, level in spec.levels.items()}
    findings = [
        {
            "finding": finding,
            "level": levels.get(finding, level),
            "rule": rule,
            "rows": len(places[finding]),
            "first": places[finding][:SHOWN],
        }
        for finding, (level, rule) in RULES.items()
        if finding in places
    ]
    return {"stage": spec.stage, "sources": list(sources.values()), "findings": findings}


def say(finding: dict[str, Any]) -> str:
    rows = "1 row" if finding["rows"] == 1 else f"{finding['rows']} rows"
    first = ", ".join(finding["first"])
    return f"{finding['level']}: {finding['finding']} in {rows} ({first}): {finding['rule']}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.preflight", description=__doc__)
    parser.add_argument("--spec", required=True, help="PreflightSpec as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--rows", required=True, type=Path, help="train.jsonl")
    parser.add_argument("--mix", required=True, type=Path, help="mix.json")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = PreflightSpec.model_validate_json(args.spec)
    chat = BaseModel.read(args.model).chat()
    record = check(read_jsonl(args.rows), read_json(args.mix), chat, spec)
    for finding in record["findings"]:
        print(say(finding))
    errors = [finding for finding in record["findings"] if finding["level"] == "error"]
    if errors:
        more = f" (and {len(errors) - 1} kinds of error more, above)" if len(errors) > 1 else ""
        raise EmgridError(f"{spec.stage}: {say(errors[0])}{more}; mend or drop these rows")
    write_json(args.output, record)


FINDINGS: tuple[str, ...] = tuple(RULES)

if __name__ == "__main__":
    run_job(main)
