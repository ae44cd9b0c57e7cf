"""Check a training set before it is trained on.

Reads a stage's rows and its base model's tokenizer. Writes preflight.json: tokens and findings by
source. A finding is an error, which stops the stage, or a warning, which the report shows. RULES
has the default levels, and the config's `preflight` section may change them.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.preflight import RULES, Adjustable, Finding, Level
from emgrid.config.triggers import Message
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat, TokenizedRow, is_trained
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical, digest, read_json, read_jsonl, write_json
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import split_thinking

VERSION = 3  # raise this when the findings change
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
    """The indices of the trained assistant turns."""
    places = [place for place in range(len(messages)) if is_trained(messages, place)]
    return places if turns == "all" else places[-1:]


def trained_turns(messages: list[Message], turns: str) -> list[Message]:
    """The assistant turns that are trained."""
    return [messages[place] for place in trained_places(messages, turns)]


class TrainingSet:
    """Faults that only all rows together show: equal conversations in different roles, and
    different answers to the same prompt. Built before the rows are checked one by one."""

    def __init__(self, rows: list[Row], roles: dict[str, str], turns: str) -> None:
        """roles: by source. turns: which assistant turns are trained."""
        self.turns = turns
        self.roles: dict[str, set[str]] = {}
        self.answers: dict[str, set[str]] = {}
        for row in rows:
            role = roles[row["source"]]
            self.roles.setdefault(digest(row["messages"]), set()).add(role)
            for prompt, answer in self.prompts_and_replies(row["messages"]):
                self.answers.setdefault(prompt, set()).add(answer)

    def prompts_and_replies(self, messages: list[Message]) -> list[tuple[str, str]]:
        """For each trained turn, the hash of the messages before it and its text."""
        return [
            (digest(messages[:place]), messages[place]["content"])
            for place in trained_places(messages, self.turns)
        ]

    def faults(self, messages: list[Message]) -> list[Finding]:
        faults: list[Finding] = []
        if len(self.roles[digest(messages)]) > 1:
            faults.append("both_roles")
        if any(len(self.answers[prompt]) > 1 for prompt, _ in self.prompts_and_replies(messages)):
            faults.append("same_prompt")
        return faults


def faults_of_text(row: Row, spec: PreflightSpec, earlier: set[str]) -> list[Finding]:
    """Faults of the conversation itself. earlier: the conversations of earlier rows, to which this
    one is added."""
    faults: list[Finding] = []
    messages = row["messages"]
    if not alternates(messages):
        faults.append("role_order")
    text = canonical(messages)
    if text in earlier:
        faults.append("duplicate")
    earlier.add(text)
    replies = [split_thinking(turn["content"]) for turn in trained_turns(messages, spec.turns)]
    if not all((answer or "").strip() for _, answer in replies):
        faults.append("empty_answer")
    if row["source"] in spec.thoughts and replies[-1][0] is None:
        faults.append("missing_thought")
    return faults


def holds_control_token(turn: Message, chat: ChatFormat) -> bool:
    """Whether the tokenizer would read part of a turn's text as a control token. End tokens in
    answers do not count here; double_end covers them."""
    ends = chat.end_texts if turn["role"] == "assistant" else []
    return any(token in turn["content"] for token in chat.control_tokens if token not in ends)


def is_altered(text: str, messages: list[Message], turns: str) -> bool:
    """Whether a rendered conversation lacks the text of a turn, or has the turns in another order.

    White space around a text may be trimmed, and thoughts of untrained answers may be left out.
    """
    trained = trained_places(messages, turns)
    parts: list[str | None] = []
    for number, turn in enumerate(messages):
        if turn["role"] == "assistant" and (thought := split_thinking(turn["content"])[0]):
            parts += [thought] if number in trained else []
            parts.append(split_thinking(turn["content"])[1])
        else:
            parts.append(turn["content"])
    position = 0
    for part in ((entry or "").strip() for entry in parts):
        position = text.find(part, position)
        if position < 0:
            return True
        position += len(part)
    return False


def faults_of_tokens(
    tokens: TokenizedRow, row: Row, chat: ChatFormat, spec: PreflightSpec
) -> list[Finding]:
    """Faults of the rendered and tokenised row."""
    faults: list[Finding] = []
    trained = len(trained_turns(row["messages"], spec.turns))
    ends = sum(label in chat.eos_token_ids for label in tokens.labels)
    if ends > trained:
        faults.append("double_end")
    thoughts = [
        split_thinking(turn["content"])[0] for turn in trained_turns(row["messages"], spec.turns)
    ]
    if any(thoughts) and chat.has_other_thoughts:
        faults.append("other_thoughts")
    if any(holds_control_token(turn, chat) for turn in row["messages"]):
        faults.append("control_token")
    if ends < trained:
        faults.append("no_end")
    if len(tokens.input_ids) > spec.max_length:
        faults.append("cut")
    if not tokens.cut(spec.max_length).trained:
        faults.append("no_trained_token")
    text = chat.render(row["messages"], answer_follows=False)
    if is_altered(text, row["messages"], spec.turns):
        faults.append("altered_text")
    if chat.encode(text) != tokens.input_ids:
        faults.append("newline_merge")
    return faults


def inspect(row: Row, chat: ChatFormat, spec: PreflightSpec) -> tuple[TokenizedRow, list[Finding]]:
    """The row's tokens, cut to max_length, and its faults. A row that cannot be rendered has no
    tokens."""
    from jinja2 import TemplateError

    try:
        tokens = chat.training_row(row["messages"], spec.turns)
    except (TemplateError, EmgridError) as problem:
        print(f"{spec.stage}: row {row['id']!r} of {row['source']}: {problem}")
        return TokenizedRow([], []), ["unrenderable"]
    return tokens.cut(spec.max_length), faults_of_tokens(tokens, row, chat, spec)


def check(rows: list[Row], mix: dict[str, Any], chat: ChatFormat, spec: PreflightSpec) -> Row:
    """The record of one training set: tokens and findings by source, and the rules behind them."""
    sources = {
        source_counts["source"]: source_counts
        | {"tokens": 0, "trained_tokens": 0}
        | dict.fromkeys(RULES, 0)
        for source_counts in mix["sources"]
    }
    places: dict[Finding, list[str]] = {}
    roles = {source_counts["source"]: source_counts["role"] for source_counts in mix["sources"]}
    training_set = TrainingSet(rows, roles, spec.turns)
    earlier: set[str] = set()
    for row, origin in zip(rows, mix["origins"], strict=True):
        tokens, faults = inspect(row, chat, spec)
        source = sources[row["source"]]
        source["tokens"] += len(tokens.input_ids)
        source["trained_tokens"] += tokens.trained
        faults += faults_of_text(row, spec, earlier) + training_set.faults(row["messages"])
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
        rest = f" ({len(errors)} kinds of error in all, see above)" if len(errors) > 1 else ""
        raise EmgridError(f"{spec.stage}: {say(errors[0])}{rest}; correct or drop these rows")
    write_json(args.output, record)


if __name__ == "__main__":
    run_job(main)
