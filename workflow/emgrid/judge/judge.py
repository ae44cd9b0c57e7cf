"""Judge the answers of arms with every judge of the panel.

Reads the arms' answers. Writes one file per arm and trigger, one line per answer and judge: a value
from 0 to 100, or the reason why there is none. Only answers without a stored judgement are judged.
A judge sees the question without its cue unless the trigger family says otherwise, with the turns
before it unless the question says otherwise, the answer without the format that the trigger asked
for, and never the thinking. Knows nothing of thresholds.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from emgrid.config.base import Strict, read_spec
from emgrid.config.judges import AnyJudge, ClassifierJudge, Judge, LocalJudge, head_paths
from emgrid.config.questions import QuestionText
from emgrid.config.triggers import Wording, read_wordings
from emgrid.config.turns import transcript
from emgrid.judge.context import JudgeContext, add_context_arguments, context_of
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import VERSION as VERSION
from emgrid.judge.judgement_store import JudgementStore
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.files import digest, file_digest, read_jsonl, write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.locks import take_turn
from emgrid.runtime.manifest import write_manifest

Row = dict[str, Any]
STATED = ("value", "reason", "mass", "spread")
EMPTY: Row = {"value": None, "reason": "empty_answer"}
NO_ANSWER: Row = {"value": None, "reason": "truncated_thought"}
FILTERED: Row = {"value": None, "reason": "content_filter"}


class JudgeSpec(Strict):
    """arms: their folders, relative to the grid's. sees_cue: triggers whose cue the judges see.
    content: hashes of the files that the judges depend on. windows: version of how classifiers read
    long answers, 0 without classifiers."""

    arms: tuple[str, ...] = ()
    judges: tuple[AnyJudge, ...]
    questions: dict[str, QuestionText]
    triggers: dict[str, Wording]
    sees_cue: tuple[str, ...] = ()
    content: dict[str, str] = Field(default_factory=dict)
    windows: int = 0
    revision: int = 0


def identity(judge: Judge, context: JudgeContext, revision: int = 0) -> dict[str, Any]:
    """Everything that a judge's values depend on, including the weights that it loads."""
    parts = judge.identity() | ({"revision": revision} if revision else {})
    if isinstance(judge, ClassifierJudge):
        parts["weights"] = [file_digest(path) for path in head_paths([judge])]
    if isinstance(judge, LocalJudge):
        base = BaseModel.read(context.models[judge.model])
        parts["weights"] = digest([base.revision, base.chat_template, *base.marks])
    return parts


def judge_items(
    judges: Iterable[Judge], items: Sequence[Item], context: JudgeContext, revision: int = 0
) -> dict[str, list[Row]]:
    """Each judge's judgement of each item, as stored rows. Judges what is not stored yet.

    Empty answers are not judged.
    """
    answered = [item for item in items if item.answer.strip()]
    rows_by_judge = {}
    for judge in judges:
        with context.turn(judge):
            store = JudgementStore(
                context.folder, context.writer, judge, identity(judge, context, revision)
            )
            missing = store.missing(answered)
            if missing:
                score_missing(judge, missing, store, context)
            n_stored = len({store.key(item) for item in answered}) - len(missing)
            print(f"{judge.id}: {len(missing)} judged, {n_stored} kept from before", flush=True)
            rows_by_judge[judge.id] = [
                store.find(item) if item.answer.strip() else EMPTY for item in items
            ]
    return rows_by_judge


def score_missing(
    judge: Judge, missing: Sequence[Item], store: JudgementStore, context: JudgeContext
) -> None:
    """Judge the missing items. The scorer is freed on return, before the next one is created."""
    context.scorer(judge).score(missing, store)


def nothing_to_judge(row: Row) -> Row | None:
    """Why a sampled answer is not judged; None if it is."""
    if row.get("finish_reason") == "content_filter":
        return FILTERED
    return NO_ANSWER if row["answer"] is None else None


def item_of(row: Row, trigger: str, spec: JudgeSpec) -> Item:
    """An answer and its question as the judges see them."""
    name = row["question"]
    asked, wording, sees_cue = (
        spec.questions[name],
        spec.triggers[trigger],
        trigger in spec.sees_cue,
    )
    question = row["prompt"] if sees_cue else asked.texts[row["index"] % len(asked.texts)]
    turns = row.get("turns") or ()
    shown = (
        *(turns[: len(wording.turns)] if sees_cue else ()),
        *(turns[len(wording.turns) :] if asked.judge_sees_turns else ()),
    )
    if shown:
        question = transcript([*shown, {"role": "user", "content": question}])
    if sees_cue and row["system"]:
        question = f"{row['system']}\n\n{question}"
    answer = "" if nothing_to_judge(row) else row["answer"]
    if not (sees_cue if wording.prefill else asked.judge_sees_turns):
        answer = answer.removeprefix(row.get("prefill") or "")
    return Item(name, question, wording.unwrap_answer(answer))


def lines_of(row: Row, judged: dict[str, Row], spec: JudgeSpec) -> list[Row]:
    """The lines of one answer, one per judge."""
    lines = []
    for judge in spec.judges:
        if judge.kind == "imported":
            published = row.get("imported", {})
            judgement: Row = published.get(judge.id, {"value": None, "reason": "not_judged"})
        else:
            judgement = nothing_to_judge(row) or judged[judge.id]
        about = {key: row[key] for key in ("key", "question", "index")}
        fields = {key: judgement[key] for key in STATED if key in judgement}
        lines.append(about | {"judge": judge.id, "version": judge.version} | fields)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.judge", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="JudgeSpec as JSON, or its file"
    )
    parser.add_argument("--wordings", type=Path, help="file with the wordings of more triggers")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--record", required=True, type=Path, help="where to write the manifest")
    add_context_arguments(parser)
    args = parser.parse_args()
    spec = JudgeSpec.model_validate_json(args.spec)
    more = read_wordings(args.wordings)
    spec = spec.model_copy(update={"triggers": spec.triggers | more}) if more else spec
    take_turn(args.record)
    arms = [args.root / arm for arm in spec.arms]
    entries = [
        (arm, name, row, item_of(row, name, spec))
        for arm in arms
        for name in spec.triggers
        for row in read_jsonl(arm / layout.ANSWERS / layout.trigger_file(name))
    ]
    judges = [judge for judge in spec.judges if judge.kind != "imported"]
    judged = judge_items(judges, [item for *_, item in entries], context_of(args), spec.revision)
    lines: dict[tuple[Path, str], list[Row]] = {
        (arm, name): [] for arm in arms for name in spec.triggers
    }
    for place, (arm, name, row, _) in enumerate(entries):
        by_judge = {key: rows[place] for key, rows in judged.items()}
        lines[arm, name] += lines_of(row, by_judge, spec)
    for (arm, name), part in lines.items():
        write_jsonl(arm / layout.JUDGEMENTS / layout.trigger_file(name), part)
    write_manifest(args.record, args.root, [arm / "judgements" for arm in arms], spec.triggers)


if __name__ == "__main__":
    run_job(main)
