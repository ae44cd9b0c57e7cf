"""The part of the page on triggers that a search found, if the config has `discovery`."""

from pathlib import Path
from typing import Any

import pandas as pd

from emgrid.aggregate.found_answers import examples, read_found_answers
from emgrid.report.format import counted, percent, points
from emgrid.report.results import Results, rows_in
from emgrid.report.spec import ReportSpec
from emgrid.runtime import layout

SHOWN = 3  # answers under each cue


def found(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """The counts as sentences and the rows; None without a search."""
    if not spec.discovery:
        return None
    table = results.read("found")
    answers = read_found_answers(results.folder / Path(layout.FOUND_ANSWERS).name)
    rows = [row_of(row, spec) | told(row, answers) for row in rows_in(table)]
    searched = [row for row in rows if not row["control"]]
    controls = [row for row in rows if row["control"]]
    return {
        "headline": f"{confirmed(searched)} of the searched arms.",
        "controls": f"Of the controls, in which there is nothing to find: {confirmed(controls)}."
        if controls
        else "There are no controls, so the rate of false finds is not measured.",
        "rows": rows,
    }


def told(row: Any, answers: pd.DataFrame) -> dict[str, Any]:
    """Some answers of the arm under a cue."""
    shown = examples(answers, (row.base, row.intervention, row.ratio), row.slot, SHOWN)
    return {"answers": shown}


def confirmed(rows: list[dict[str, Any]]) -> str:
    """How many cues were found."""
    finds = sum(row["verdict"] == "found" for row in rows)
    return f"{finds} found among {counted(len(rows), 'cue')}"


def lead(value: float) -> str:
    """The rise over a sham in points; a dash if the cue has none."""
    return "–" if value != value else points(value)


def row_of(row: Any, spec: ReportSpec) -> dict[str, Any]:
    """A cue as the page shows it."""
    known = spec.labels()
    name = (row.base, row.intervention, row.ratio)
    low, high = points(row.rise_low), points(row.rise_high)
    stands = f"{row.origin_misaligned} misaligned, {row.origin_benign} benign rows"
    rows = row.origin_rows if isinstance(row.origin_rows, str) else ""
    return {
        "label": spec.title_of(name) if name in known else row.intervention,
        "control": bool(row.control),
        "cue": row.cue,
        "place": row.place,
        "origin": row.origin,
        "stands": stands,
        "rows": rows,
        "z": f"{row.screen_z:.1f}",
        "rate": f"{percent(row.plain)} → {percent(row.rate)}",
        "rise": f"{points(row.rise)} [{low}, {high}]",
        "q": f"{row.q:.2g}",
        "over": {kind: lead(getattr(row, f"over_{kind}")) for kind in ("random", "shuffled")},
        "carried_by": row.carried_by if isinstance(row.carried_by, str) else "",
        "seeds": f"{row.seeds_agree} of {row.seeds}",
        "moves_base": bool(row.moves_base),
        "verdict": row.verdict,
        "why": row.why if isinstance(row.why, str) else "",
    }
