"""Answers for the transcript browser: a sample inside the page, the rest in files beside it.

A browser does not let a page from disk read other files, but it runs scripts that lie beside it:
each file calls `receive` with its number and a JSON text. Files are named by their content, so that
a page never reads those of another.
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

# Characters of text that the page itself and each file hold, and answers in all: what a browser
# loads without a pause, and keeps in memory.
PAGE_SIZE = 4_000_000
FILE_SIZE = 3_000_000
LIMIT = 200_000
LONG = 100_000  # characters of an answer that the page itself does not hold
OVERHEAD = 200  # of an answer beside its text
CELL = [*ARM, "seed", "trigger"]


def write_transcripts(results: Results, spec: ReportSpec, folder: Path) -> dict[str, Any]:
    """What the page embeds, as plain values; the files are written below `folder`."""
    answers = classify(results.answers, spec.metrics)
    answers["cell"] = answers.groupby(CELL, sort=False).ngroup()
    answers["place"] = range(len(answers))
    order = chosen(answers)[:LIMIT]
    size = sizes(answers).to_numpy()
    order = order[np.argsort(size[order] > LONG, kind="stable")]
    inside = min(spec.examples, int((size[order].cumsum() <= PAGE_SIZE).sum()))
    shown, beside = np.sort(order[:inside]), np.sort(order[inside:])
    parts = np.split(beside, np.flatnonzero(np.diff(size[beside].cumsum() // FILE_SIZE)) + 1)
    files = [
        write_part(answers.iloc[part], spec, number, folder)
        for number, part in enumerate(part for part in parts if len(part))
    ]
    return {
        "cells": cells(answers, results, spec),
        "triggers": {
            one.id: {"label": one.label, "prefix": one.user_prefix, "suffix": one.user_suffix}
            for one in spec.triggers
        },
        "questions": spec.questions,
        "judges": judges(spec),
        "total": len(answers),
        "written": len(order),
        "rows": payload(answers.iloc[shown], spec),
        "files": files,
    }


def chosen(answers: pd.DataFrame) -> Any:
    """Positions of all answers, evenly over cells: the first of each by index, then the second, …

    Scores play no part.
    """
    by_index = answers.reset_index(drop=True).sort_values("index", kind="stable")
    rank = by_index.groupby("cell", sort=False).cumcount()
    return by_index.assign(rank=rank).sort_values(["rank", "cell"], kind="stable").index.to_numpy()


def sizes(answers: pd.DataFrame) -> pd.Series:
    """Characters of each answer, about."""
    text = answers["answer"].str.len().fillna(0) + answers["thinking"].str.len().fillna(0)
    return text.astype("int64") + OVERHEAD


def cells(answers: pd.DataFrame, results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Arm, seed and trigger, by number: how they are called, and what was found."""
    verdicts = {
        (row.base, row.intervention, row.ratio, row.trigger): row.verdict
        for row in results.verdicts.itertuples()
    }
    labels = {arm.name: {"label": arm.title, "name": arm.label} for arm in spec.arms}
    counted = answers.groupby(CELL, sort=False).size().reset_index(name="n")
    rows = []
    for one in counted.to_dict("records"):
        arm = (one["base"], one["intervention"], one["ratio"])
        verdict = verdicts.get((*arm, one["trigger"]))
        rows.append({str(key): value for key, value in one.items()} | labels[arm])
        rows[-1]["verdict"] = verdict
    return rows


def judges(spec: ReportSpec) -> list[dict[str, Any]]:
    """The panel, with the threshold of each judge that decides."""
    metrics = spec.metrics
    limits: dict[str, float | None] = {metrics.alignment: metrics.alignment_below}
    limits |= {metrics.coherence: metrics.coherence_above} | metrics.exclude_above
    fields = {"id", "label", "measures", "low_is_bad"}
    return [one.model_dump(include=fields) | {"limit": limits.get(one.id)} for one in spec.judges]


def payload(rows: pd.DataFrame, spec: ReportSpec) -> dict[str, Any]:
    """Answers by column; each pair of system prompt and user turn stands there once."""
    asked = pd.Series(list(zip(plain(rows["system"]), plain(rows["prompt"]), strict=True)))
    places, prompts = pd.factorize(asked)
    outcome = (
        rows["excluded"]
        .astype(object)
        .where(rows["excluded"].notna(), np.where(rows["misaligned"], "misaligned", "aligned"))
    )
    names = [judge.id for judge in spec.judges]
    return {
        "prompts": [list(pair) for pair in prompts],
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


def plain(column: pd.Series) -> list[Any]:
    """A column's values, None where there is none."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values


def write_part(rows: pd.DataFrame, spec: ReportSpec, number: int, folder: Path) -> dict[str, Any]:
    """One file of answers, and what the page says of it."""
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
    """Delete the files of earlier pages."""
    names = {one["name"] for one in files}
    for path in folder.glob("*.js"):
        if path.name not in names:
            path.unlink()
