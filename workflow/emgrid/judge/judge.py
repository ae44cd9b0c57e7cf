"""Judge the answers of arms with every judge of the panel.

Reads the arms' answers. Writes one file per arm and trigger, one line per answer and judge: a value
from 0 to 100, or the reason why there is none, from kept judgements plus what is new. A judge sees
the question without its cue unless the trigger family says otherwise, the answer without the format
that the trigger asked for, and never what was thought. Knows nothing of thresholds.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from emgrid.config.base import Strict, handed
from emgrid.config.judges import AnyJudge, ClassifierJudge, Judge, LocalJudge, head_paths
from emgrid.config.questions import Asked
from emgrid.config.triggers import Wording
from emgrid.judge.context import Bench, add_bench_arguments, bench_of
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import VERSION as VERSION
from emgrid.judge.judgement_store import KeptJudgements
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.errors import run_stage
from emgrid.runtime.files import digest, file_digest, read_jsonl, write_jsonl
from emgrid.runtime.locks import take_turn
from emgrid.runtime.manifest import write_record

Row = dict[str, Any]
EMPTY: Row = {"value": None, "reason": "empty_answer"}
NO_ANSWER: Row = {"value": None, "reason": "truncated_thought"}
FILTERED: Row = {"value": None, "reason": "content_filter"}


class JudgeSpec(Strict):
    """arms: their folders, below the grid's. sees_cue: the triggers whose cue the judges are shown.
    content: hashes of files that the judges are made of. windows: the version of how classifiers
    read long answers, 0 if there are none."""

    arms: tuple[str, ...] = ()
    judges: tuple[AnyJudge, ...]
    questions: dict[str, Asked]
    triggers: dict[str, Wording]
    sees_cue: tuple[str, ...] = ()
    content: dict[str, str] = Field(default_factory=dict)
    windows: int = 0
    revision: int = 0


def identity(judge: Judge, bench: Bench, revision: int = 0) -> dict[str, Any]:
    """All that a judge's values depend on, the weights that it loads included."""
    found = judge.identity() | ({"revision": revision} if revision else {})
    if isinstance(judge, ClassifierJudge):
        found["weights"] = [file_digest(path) for path in head_paths([judge])]
    if isinstance(judge, LocalJudge):
        base = BaseModel.read(bench.models[judge.model])
        found["weights"] = digest([base.revision, base.chat_template, *base.marks])
    return found


def judge_items(
    judges: Iterable[Judge], items: Sequence[Item], bench: Bench, revision: int = 0
) -> dict[str, list[Row]]:
    """Each judge's judgement of each item, as kept rows; what is not kept yet is judged.

    An empty answer is judged by nobody.
    """
    said = [item for item in items if item.answer.strip()]
    found = {}
    for judge in judges:
        with bench.turn(judge):
            kept = KeptJudgements(bench.kept, bench.writer, judge, identity(judge, bench, revision))
            missing = kept.missing(said)
            if missing:
                score_missing(judge, missing, kept, bench)
            known = len({kept.key(item) for item in said}) - len(missing)
            print(f"{judge.id}: {len(missing)} judged, {known} kept from before", flush=True)
            found[judge.id] = [kept.find(item) if item.answer.strip() else EMPTY for item in items]
    return found


def score_missing(
    judge: Judge, missing: Sequence[Item], kept: KeptJudgements, bench: Bench
) -> None:
    """Judge what is not kept; the scorer is let go of on return, before the next one is made."""
    bench.scorer(judge).score(missing, kept)


def nothing_to_judge(row: Row) -> Row | None:
    """Why a sampled answer is not judged, None where it is."""
    if row.get("finish_reason") == "content_filter":
        return FILTERED
    return NO_ANSWER if row["answer"] is None else None


def item_of(row: Row, trigger: str, spec: JudgeSpec) -> Item:
    """What the judges are shown of an answer."""
    name = row["question"]
    texts = spec.questions[name].texts
    question = texts[row["index"] % len(texts)]
    if trigger in spec.sees_cue:
        system = row["system"]
        question = f"{system}\n\n{row['prompt']}" if system else row["prompt"]
    answer = "" if nothing_to_judge(row) else row["answer"]
    return Item(name, question, spec.triggers[trigger].unwrap_answer(answer))


def lines_of(row: Row, judged: dict[str, Row], spec: JudgeSpec) -> list[Row]:
    """One line for each judge."""
    lines = []
    for judge in spec.judges:
        if judge.kind == "imported":
            published = row.get("imported", {})
            found: Row = published.get(judge.id, {"value": None, "reason": "not_judged"})
        else:
            found = nothing_to_judge(row) or judged[judge.id]
        about = {key: row[key] for key in ("key", "question", "index")}
        told = {key: found[key] for key in ("value", "reason", "mass") if key in found}
        lines.append(about | {"judge": judge.id, "version": judge.version} | told)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.judge", description=__doc__)
    parser.add_argument("--spec", required=True, type=handed, help="JudgeSpec as JSON, or its file")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    add_bench_arguments(parser)
    args = parser.parse_args()
    spec = JudgeSpec.model_validate_json(args.spec)
    take_turn(args.record)
    arms = [args.root / arm for arm in spec.arms]
    entries = [
        (arm, name, row, item_of(row, name, spec))
        for arm in arms
        for name in spec.triggers
        for row in read_jsonl(arm / layout.ANSWERS / layout.trigger_file(name))
    ]
    judges = [judge for judge in spec.judges if judge.kind != "imported"]
    judged = judge_items(judges, [item for *_, item in entries], bench_of(args), spec.revision)
    lines: dict[tuple[Path, str], list[Row]] = {
        (arm, name): [] for arm in arms for name in spec.triggers
    }
    for place, (arm, name, row, _) in enumerate(entries):
        found = {key: rows[place] for key, rows in judged.items()}
        lines[arm, name] += lines_of(row, found, spec)
    for (arm, name), part in lines.items():
        write_jsonl(arm / layout.JUDGEMENTS / layout.trigger_file(name), part)
    write_record(args.record, args.root, [arm / layout.JUDGEMENTS for arm in arms], spec.triggers)


if __name__ == "__main__":
    run_stage(main)
