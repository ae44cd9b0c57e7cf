"""The tables of the page: rates, contrasts, robustness, dose, likelihood, judges."""

from typing import Any

import pandas as pd

from emgrid.config.published import READ, ReferenceRate
from emgrid.report.format import interval, percent, points
from emgrid.report.results import Results, rows_in, rows_of
from emgrid.report.spec import ReportSpec

COUNTS = {"n_answers", "n_survivors", "n_misaligned", "n_seeds"}
COUNTS |= {"n_questions", "n_questions_survivors"}
KINDS = {
    "trigger_minus_none": "trigger − none",
    "minus_base": "the same − the base model's",
    "minus_undiluted": "− undiluted",
}
CHECKS = {
    "thresholds": "thresholds",
    "without question": "one question left out",
    "without seed": "one seed left out",
    "judge": "each judge of the panel",
}


def rate_cells(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """One row an arm, one cell a trigger, both denominators; None where nothing was asked."""
    rows = []
    for arm in spec.labels():
        found = {row.trigger: row for row in rows_of(results.overall, arm)}
        rows.append(
            {
                "label": spec.title_of(arm),
                "cells": [found.get(trigger.id) for trigger in spec.triggers],
            }
        )
    return rows


def correction(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """By which labels rates are corrected, and whether these allow it; None without any."""
    if spec.correct_by is None or "label_positives" not in results.rates:
        return None
    first = results.rates.iloc[0]
    return {
        "name": spec.correct_by,
        "positives": int(first["label_positives"]),
        "negatives": int(first["label_negatives"]),
        "shown": bool(results.rates["rate_corrected"].notna().any()),
    }


def published(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Every published rate of a cell of the grid, how it is known, and the own rate of the same
    answers; one row for each arm of that cell."""
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    rates = results.rates.assign(question=results.rates["question"].fillna(""))
    own = {
        (row.base, row.intervention, row.ratio, row.trigger, row.question): row
        for row in rows_in(rates)
    }
    found = []
    for arm in spec.labels():
        for value in spec.references:
            if (value.intervention, value.ratio) != arm[1:]:
                continue
            cell = own.get((*arm, value.trigger, value.question or ""))
            column = "rate_all" if value.of == "all" else "rate_survivors"
            found.append(
                {
                    "label": spec.title_of(arm),
                    "trigger": labels[value.trigger],
                    "question": value.question or "all",
                    "rate": published_rate(value),
                    "of": value.of,
                    "model": value.model,
                    "known": f"{READ[value.read]}: {value.source}",
                    "own": "–"
                    if cell is None or not cell.n_survivors
                    else percent(getattr(cell, column)),
                }
            )
    return found


def published_rate(value: ReferenceRate) -> str:
    """As the publication gives it: a rate with its interval, a range, or a bound."""
    if value.at_most:
        return f"≤ {percent(value.rate)}"
    if value.low is None or value.high is None:
        return percent(value.rate)
    return f"{percent(value.rate)} [{percent(value.low)}, {percent(value.high)}]"


def exclusions(results: Results) -> list[tuple[str, int]]:
    """Why answers do not survive, with their number."""
    table = results.overall
    return [(name, int(table[f"n_{name}"].sum())) for name in reasons_in(table, COUNTS)]


def reasons_in(table: pd.DataFrame, fixed: set[str]) -> list[str]:
    """The reasons that a table counts, as its columns name them."""
    counted = [name for name in table.columns if name.startswith("n_") and name not in fixed]
    return [name.removeprefix("n_") for name in counted]


def survivors(results: Results) -> float:
    """Share of all answers that survive the judges."""
    table = results.overall
    return float(table["n_survivors"].sum() / table["n_answers"].sum())


def contrasts(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Every contrast, with p raw and adjusted."""
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    return [
        {
            "label": spec.title_of(arm),
            "trigger": labels[row.trigger],
            "kind": KINDS[row.kind],
            "questions": row.n_questions,
            "difference": points(row.difference),
            "interval": "–" if pd.isna(row.low) else interval(row.low, row.high),
            "p": "–" if pd.isna(row.p) else f"{row.p:.2g}",
            "p_holm": "–" if pd.isna(row.p) else f"{row.p_holm:.2g}",
        }
        for arm in spec.labels()
        for row in rows_of(results.contrasts, arm)
        if row.trigger in labels
    ]


def robustness(results: Results, spec: ReportSpec) -> dict[str, Any]:
    """How far the rate and the rise of each cell go over all checks."""
    rows = []
    for arm in spec.labels():
        found = pd.DataFrame(rows_of(results.robustness, arm))
        cells = []
        for trigger in spec.triggers:
            own = found[found["trigger"] == trigger.id] if len(found) else found
            cells.append(span(own) if len(own) else None)
        if any(cells):
            rows.append({"label": spec.title_of(arm), "cells": cells})
    table = results.robustness
    done = [] if table.empty else table.drop_duplicates(["check", "setting"])["check"].tolist()
    return {"rows": rows, "checks": {told: done.count(name) for name, told in CHECKS.items()}}


def span(checks: pd.DataFrame) -> dict[str, str]:
    """Smallest and largest value of one cell."""
    low, high = checks["rate_all"].min(), checks["rate_all"].max()
    rise = checks["rise"].dropna()
    return {
        "rate": percent(low) if low == high else f"{percent(low)} to {percent(high)}",
        "rise": interval(rise.min(), rise.max()) if len(rise) else "",
    }


def dose(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Rank correlations, with names for people."""
    triggers = {trigger.id: trigger.label for trigger in spec.triggers}
    labels: dict[Any, str] = {**spec.labels()}
    names = {
        "ratio": "share of misaligned rows",
        "benign_rows": "benign rows afterwards",
        "similarity": "likeness of the trigger to the training prompts",
    }
    return [
        {
            "over": names.get(row.over, row.over),
            "base": row.base,
            "intervention": labels.get(
                (row.base, row.intervention, row.ratio), str(row.intervention).replace("_", " ")
            ),
            "trigger": triggers.get(row.trigger, ""),
            "n": row.n_points,
            "questions": row.n_questions,
            "correlation": f"{row.spearman:+.2f}".replace("-", "−"),
            "interval": ""
            if pd.isna(row.low)
            else f"{row.low:+.2f} to {row.high:+.2f}".replace("-", "−"),
            "p": f"{row.p:.2g}",
        }
        for row in rows_in(results.dose)
        if not pd.isna(row.spearman)
    ]


def likelihood(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Log-odds minus the base model's in nats: one row an arm, one cell a trigger."""
    rows = []
    for arm in spec.labels():
        overall = [row for row in rows_of(results.likelihood, arm) if pd.isna(row.question)]
        found = {row.trigger: nats(row).replace("-", "−") for row in overall}
        if found and arm[1] != "base":
            cells = [found.get(trigger.id, "–") for trigger in spec.triggers]
            rows.append({"label": spec.title_of(arm), "cells": cells})
    return rows


def nats(row: Any) -> str:
    """A shift of the log-odds, with its interval where there is one."""
    if pd.isna(row.minus_base):
        return "–"
    if pd.isna(row.minus_base_low):
        return f"{row.minus_base:+.1f}"
    return f"{row.minus_base:+.1f} ({row.minus_base_low:+.1f} to {row.minus_base_high:+.1f})"


def judged(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """What each judge gave over the whole grid."""
    table = results.judgements
    reasons = reasons_in(table, {"n_answers", "n_values"})
    rows = []
    for judge in spec.judges:
        own = table[table["judge"] == judge.id]
        mass = (own["mean_mass"] * own["n_answers"]).sum() / own["n_answers"].sum()
        found = {name: int(own[f"n_{name}"].sum()) for name in reasons}
        rows.append(
            judge.model_dump()
            | {
                "n_answers": int(own["n_answers"].sum()),
                "n_values": int(own["n_values"].sum()),
                "mass": mass if own["mean_mass"].notna().any() else None,
                "reasons": {name: count for name, count in found.items() if count},
            }
        )
    return rows
