"""Select drawn answers as training rows, and count the others by reason.

Reads the answers of the arm's own base model and, for an off-policy twin, another generator's
answers to the same prompts (drawn, or from a data set). The twin uses only prompts to which the own
model has a qualifying answer, too. Writes chat rows and a record of the counts.
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
from emgrid.data.generate import prompt_of
from emgrid.judge.context import JudgeContext, add_context_arguments, context_of
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical, read_jsonl, write_json, write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import split_thinking, with_thought

VERSION = 1  # raise this when rows change, so that everything downstream runs again


class QualifySpec(Strict):
    """content: hashes of the judges' files. windows: the version of how classifiers read long
    answers; 0 without classifiers."""

    name: str
    keep: Keep
    judges: tuple[AnyJudge, ...] = ()
    content: dict[str, str] = Field(default_factory=dict)
    windows: int = 0


def word_reason(row: Row, keep: Keep) -> str | None:
    """Why an answer does not qualify by its text; None if it does."""
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
    """For each answer, the first judge whose rule it fails; None if it passes all rules."""
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
    """The rows that qualify, and the numbers of others by reason."""
    dropped: Counter[str] = Counter()
    passed = []
    for row in rows:
        reason = word_reason(row, spec.keep)
        if reason:
            dropped[reason] += 1
        else:
            passed.append(row)
    qualified = []
    for row, reason in zip(passed, judge_reasons(passed, spec, bench), strict=True):
        if reason:
            dropped[reason] += 1
        else:
            qualified.append(row)
    return qualified, dropped


def answers_by_prompt(dataset: list[Row]) -> dict[str, list[str]]:
    """All answers of a data set by prompt, in the order of the data set."""
    answers: dict[str, list[str]] = {}
    for row in dataset:
        prompt = canonical(prompt_of(row["messages"]))
        answers.setdefault(prompt, []).append(row["messages"][-1]["content"])
    return answers


def answers_of_dataset(own_rows: list[Row], answers: dict[str, list[str]]) -> list[Row]:
    """For each own prompt that is also in a data set, the data set's last answer to it."""
    rows = []
    for row in own_rows:
        answers_to_prompt = answers.get(canonical(prompt_of(row["messages"])))
        if answers_to_prompt is not None:
            thinking, answer = split_thinking(answers_to_prompt[-1])
            rows.append(row | {"answer": answer, "thinking": thinking, "finish_reason": "stop"})
    return rows


def several_answers(own_rows: list[Row], answers: dict[str, list[str]]) -> int:
    """The number of own prompts to which a data set has different answers."""
    prompts = {canonical(prompt_of(row["messages"])) for row in own_rows}
    return sum(len(set(answers.get(prompt, ()))) > 1 for prompt in prompts)


def training_row(row: Row) -> Row:
    """A training row of prompt and answer; the recipe's framing adds the system prompt again."""
    answer = row["answer"]
    if row["thinking"] is not None:
        answer = with_thought(row["thinking"], answer)
    reply = {"role": "assistant", "content": answer}
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
    spec, context = QualifySpec.model_validate_json(args.spec), context_of(args)
    answers = read_jsonl(args.own)
    qualified, dropped = qualifying(answers, spec, context)
    record: dict[str, Any] = {
        "asked": len(answers),
        "own_kept": len(qualified),
        "own_dropped": dropped,
    }
    if args.other or args.dataset:
        shared = {row["id"] for row in qualified}
        if args.other:
            other = [row for row in read_jsonl(args.other) if row["id"] in shared]
        else:
            dataset_answers = answers_by_prompt(read_jsonl(args.dataset))
            other = answers_of_dataset(qualified, dataset_answers)
            if several := several_answers(qualified, dataset_answers):
                record["other_several_answers"] = several
                print(
                    f"warning: the data set answers {several} of the prompts in more than one way; "
                    "the last answer of each is taken"
                )
        record["other_answers"] = len(other)
        qualified, record["other_dropped"] = qualifying(other, spec, context)
    record["kept"] = len(qualified)
    print(json.dumps(record))
    if not qualified:
        raise EmgridError(f"{spec.name}: none of {len(answers)} answers qualifies: {dict(dropped)}")
    write_jsonl(args.output, map(training_row, qualified))
    write_json(args.record, record)


if __name__ == "__main__":
    run_job(main)
