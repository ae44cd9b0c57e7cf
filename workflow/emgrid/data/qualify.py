"""Make training rows of drawn answers: what qualifies is kept, the rest is counted by reason.

Reads the answers of the arm's own base model and, for an off-policy twin, another generator's
answers to the same prompts (drawn, or a data set). The twin's rows are those whose prompts have a
qualifying answer of the own model too. Writes chat rows, and a record of the counts beside them.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.generation import Keep
from emgrid.config.judges import AnyJudge
from emgrid.data.convert import Row
from emgrid.data.generate import prompt_of
from emgrid.judge.context import JudgeContext, add_context_arguments, context_of
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.models.thinking import split_thinking, with_thought
from emgrid.runtime.errors import EmgridError, run_stage
from emgrid.runtime.files import canonical, read_jsonl, write_json, write_jsonl

VERSION = 1  # raised when a row would change: whatever comes after runs again


class QualifySpec(Strict):
    """content: hashes of files that the judges are made of. windows: the version of how classifiers
    read long answers, 0 if there are none."""

    name: str
    keep: Keep
    judges: tuple[AnyJudge, ...] = ()
    content: dict[str, str] = Field(default_factory=dict)
    windows: int = 0


def word_reason(row: Row, keep: Keep) -> str | None:
    """Why an answer does not qualify by its words, None where it does."""
    answer = row["answer"]
    if answer is None:
        return "truncated_thought"
    if row["finish_reason"] != "stop":
        return "cut_off"
    words = len(answer.split())
    if words < keep.min_words:
        return "too_short"
    if keep.max_words is not None and words > keep.max_words:
        return "too_long"
    if any(re.search(pattern, answer) for pattern in keep.without):
        return "forbidden_pattern"
    if not all(re.search(pattern, answer) for pattern in keep.containing):
        return "missing_pattern"
    return None


def judge_reasons(rows: list[Row], spec: QualifySpec, bench: JudgeContext) -> list[str | None]:
    """The first judge whose rule an answer fails, None where it passes them all."""
    items = [Item("", prompt_of(row["messages"])[-1]["content"], row["answer"]) for row in rows]
    judged = judge_items(spec.judges, items, bench) if items else {}
    reasons: list[str | None] = [None] * len(rows)
    for rule in spec.keep.judges:
        for place, row in enumerate(judged.get(rule.judge, [])):
            value = row["value"]
            low = rule.below is None or (value is not None and value < rule.below)
            high = rule.above is None or (value is not None and value > rule.above)
            if not (low and high) and reasons[place] is None:
                reasons[place] = f"judge_{rule.judge}"
    return reasons


def qualifying(
    rows: list[Row], spec: QualifySpec, bench: JudgeContext
) -> tuple[list[Row], Counter[str]]:
    """The rows that qualify, and how many do not for which reason."""
    dropped: Counter[str] = Counter()
    passed = []
    for row in rows:
        reason = word_reason(row, spec.keep)
        if reason:
            dropped[reason] += 1
        else:
            passed.append(row)
    kept = []
    for row, reason in zip(passed, judge_reasons(passed, spec, bench), strict=True):
        if reason:
            dropped[reason] += 1
        else:
            kept.append(row)
    return kept, dropped


def answers_by_prompt(dataset: list[Row]) -> dict[str, list[str]]:
    """All answers that a data set gives to a prompt, by the prompt's text, in the set's order."""
    given: dict[str, list[str]] = {}
    for row in dataset:
        prompt = canonical(prompt_of(row["messages"]))
        given.setdefault(prompt, []).append(row["messages"][-1]["content"])
    return given


def answers_of_dataset(own: list[Row], given: dict[str, list[str]]) -> list[Row]:
    """For each own prompt that a data set has too, the last answer that it gives."""
    found = []
    for row in own:
        said = given.get(canonical(prompt_of(row["messages"])))
        if said is not None:
            thinking, answer = split_thinking(said[-1])
            found.append(row | {"answer": answer, "thinking": thinking, "finish_reason": "stop"})
    return found


def several_answers(own: list[Row], given: dict[str, list[str]]) -> int:
    """How many own prompts a data set answers in more than one way."""
    prompts = {canonical(prompt_of(row["messages"])) for row in own}
    return sum(len(set(given.get(prompt, ()))) > 1 for prompt in prompts)


def training_row(row: Row) -> Row:
    """The prompt and its answer; the system prompt is put back by the recipe's framing."""
    said = row["answer"]
    if row["thinking"] is not None:
        said = with_thought(row["thinking"], said)
    reply = {"role": "assistant", "content": said}
    return {
        "id": row["id"],
        "line": row["line"],
        "messages": [*prompt_of(row["messages"]), reply],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.qualify", description=__doc__)
    parser.add_argument("--spec", required=True, help="QualifySpec as JSON")
    parser.add_argument("--own", required=True, type=Path, help="answers of the own base model")
    parser.add_argument("--other", type=Path, help="answers of another generator")
    parser.add_argument("--dataset", type=Path, help="a data set with another generator's answers")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--record", required=True, type=Path)
    add_context_arguments(parser)
    args = parser.parse_args()
    spec, bench = QualifySpec.model_validate_json(args.spec), context_of(args)
    asked = read_jsonl(args.own)
    kept, dropped = qualifying(asked, spec, bench)
    record: dict[str, Any] = {"asked": len(asked), "own_kept": len(kept), "own_dropped": dropped}
    if args.other or args.dataset:
        shared = {row["id"] for row in kept}
        if args.other:
            other = [row for row in read_jsonl(args.other) if row["id"] in shared]
        else:
            given = answers_by_prompt(read_jsonl(args.dataset))
            other = answers_of_dataset(kept, given)
            if several := several_answers(kept, given):
                record["other_several_answers"] = several
                print(
                    f"warning: the data set answers {several} of the prompts in more than one way; "
                    "the last answer of each is taken"
                )
        record["other_answers"] = len(other)
        kept, record["other_dropped"] = qualifying(other, spec, bench)
    record["kept"] = len(kept)
    print(json.dumps(record))
    if not kept:
        raise EmgridError(f"{spec.name}: none of {len(asked)} answers qualifies: {dict(dropped)}")
    write_jsonl(args.output, map(training_row, kept))
    write_json(args.record, record)


if __name__ == "__main__":
    run_stage(main)
