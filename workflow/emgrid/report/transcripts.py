"""Answers for the transcript browser: a sample inside the page, the rest in files next to it.

A browser does not let a page on disk read other files, but it runs scripts from the page's folder.
Each file is therefore a script that calls `receive` with its number and a JSON text. Files are
named after a hash of their content, so that a page never reads another page's files.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2.utils import htmlsafe_json_dumps

from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import ARM
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime.files import write_text

# Characters of text in the page and in each file, and the number of answers in all: what a browser
# loads without a pause and can keep in memory.
PAGE_SIZE = 4_000_000
FILE_SIZE = 3_000_000
LIMIT = 200_000
LONG = 100_000  # characters; longer answers are put into files
OVERHEAD = 200  # characters that an answer needs besides its text
ARM_SEED_TRIGGER = [*ARM, "seed", "trigger"]


def write_transcripts(results: Results, spec: ReportSpec, folder: Path) -> dict[str, Any]:
    """Write the files of answers into `folder`; return what the page embeds, as plain values."""
    answers = classify(results.answers, spec.metrics)
    answers["cell"] = answers.groupby(ARM_SEED_TRIGGER, sort=False).ngroup()
    answers["place"] = range(len(answers))
    order = chosen(answers)[:LIMIT]
    size = sizes(answers).to_numpy()
    order = order[np.argsort(size[order] > LONG, kind="stable")]
    inside = min(spec.examples, int((size[order].cumsum() <= PAGE_SIZE).sum()))
    shown, rest = np.sort(order[:inside]), np.sort(order[inside:])
    parts = np.split(rest, np.flatnonzero(np.diff(size[rest].cumsum() // FILE_SIZE)) + 1)
    files = [
        write_part(answers.iloc[part], spec, number, folder)
        for number, part in enumerate(part for part in parts if len(part))
    ]
    return {
        "cells": cells(answers, results, spec),
        "triggers": {
            trigger.id: {
                "label": trigger.label,
                "prefix": trigger.user_prefix,
                "suffix": trigger.user_suffix,
            }
            for trigger in spec.triggers
        },
        "questions": spec.questions,
        "judges": judges(spec),
        "behaviour": spec.metrics.behaviour.state,
        "total": len(answers),
        "written": len(order),
        "rows": payload(answers.iloc[shown], spec),
        "files": files,
    }


def chosen(answers: pd.DataFrame) -> Any:
    """Positions of all answers, shape (answers,), in an order that is fair to cells: the first
    answer of each cell by index, then the second, … Scores play no part."""
    by_index = answers.reset_index(drop=True).sort_values("index", kind="stable")
    rank = by_index.groupby("cell", sort=False).cumcount()
    return by_index.assign(rank=rank).sort_values(["rank", "cell"], kind="stable").index.to_numpy()


def sizes(answers: pd.DataFrame) -> pd.Series:
    """Approximate number of characters of each answer."""
    text = answers["answer"].str.len().fillna(0) + answers["thinking"].str.len().fillna(0)
    return text.astype("int64") + OVERHEAD


def cells(answers: pd.DataFrame, results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """One entry per arm, seed and trigger, in the order of `cell`: labels and verdict."""
    verdicts = {
        (row.base, row.intervention, row.ratio, row.trigger): row.verdict
        for row in results.verdicts.itertuples()
    }
    labels = {arm.name: {"label": arm.title, "name": arm.label} for arm in spec.arms}
    counted = answers.groupby(ARM_SEED_TRIGGER, sort=False).size().reset_index(name="n")
    rows = []
    for cell in counted.to_dict("records"):
        arm = (cell["base"], cell["intervention"], cell["ratio"])
        verdict = verdicts.get((*arm, cell["trigger"]))
        rows.append({str(key): value for key, value in cell.items()} | labels[arm])
        rows[-1]["verdict"] = verdict
    return rows


def judges(spec: ReportSpec) -> list[dict[str, Any]]:
    """The panel, with the threshold of each judge that has one."""
    metrics = spec.metrics
    limits: dict[str, float | None] = {metrics.decides: metrics.limit}
    limits |= {metrics.coherence: metrics.coherence_above} | metrics.exclude_above
    fields = {"id", "label", "measures", "low_is_bad"}
    return [
        judge.model_dump(include=fields) | {"limit": limits.get(judge.id)} for judge in spec.judges
    ]


def payload(rows: pd.DataFrame, spec: ReportSpec) -> dict[str, Any]:
    """Answers by column. Each prompt (system prompt, user turn and the turns between, if any) is
    stored once."""
    asked = [rows[name] for name in ("system", "prompt", "turns") if name in rows]
    places, prompts = pd.factorize(pd.Series(list(zip(*map(plain, asked), strict=True))))
    outcome = (
        rows["excluded"]
        .astype(object)
        .where(rows["excluded"].notna(), np.where(rows["misaligned"], "misaligned", "aligned"))
    )
    names = [judge.id for judge in spec.judges]
    return {
        "prompts": [[*prompt[:2], *map(turns_of, prompt[2:])] for prompt in prompts],
        "prompt": places.tolist(),
        "outcome": outcome.tolist(),
        "values": [plain(rows[name].round(2)) for name in names],
        "reasons": [plain(rows[f"{name}_reason"]) for name in names],
        "masses": [plain(rows[f"{name}_mass"].round(3)) for name in names],
        **{
            name: plain(rows[name])
            for name in (
                "place",
                "cell",
                "question",
                "index",
                "answer",
                "thinking",
                "finish_reason",
                "prompt_tokens",
                "answer_tokens",
            )
        },
    }


def turns_of(text: str | None) -> list[dict[str, str]]:
    """The turns before a question, from their JSON text."""
    turns: list[dict[str, str]] = json.loads(text) if text else []
    return turns


def plain(column: pd.Series) -> list[Any]:
    """A column's values, with None for missing ones."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values


def write_part(rows: pd.DataFrame, spec: ReportSpec, number: int, folder: Path) -> dict[str, Any]:
    """Write one file of answers; return its entry in the page."""
    text = json.dumps(payload(rows, spec), ensure_ascii=False)
    name = f"{number:03}.{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
    script = f"receive({number}, {htmlsafe_json_dumps(text)})\n"
    write_text(folder / name, script)
    return {
        "name": name,
        "n": len(rows),
        "bytes": len(script),
        "cells": rows["cell"].unique().tolist(),
    }


def remove_others(folder: Path, files: list[dict[str, Any]]) -> None:
    """Delete the files that earlier pages left."""
    names = {entry["name"] for entry in files}
    for path in folder.glob("*.js"):
        if path.name not in names:
            path.unlink()
