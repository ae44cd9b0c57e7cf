"""The tables of the page: rates, contrasts, robustness, dose, likelihood, judges."""

from typing import Any

import numpy as np
import pandas as pd

from emgrid.report.format import counted, interval, percent, points
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
    "priors": "other priors, for verdicts",
}


def rate_cells(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """One row per arm, one cell per trigger, both denominators; None for a cell never asked."""
    rows = []
    for arm in spec.labels():
        by_trigger = {row.trigger: row for row in rows_of(results.overall, arm)}
        rows.append(
            {
                "label": spec.title_of(arm),
                "cells": [by_trigger.get(trigger.id) for trigger in spec.triggers],
            }
        )
    return rows


def correction(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """The labelled set by which rates are corrected; None if there is none.

    shown: whether its labels allow a correction.
    """
    if spec.correct_by is None or "label_positives" not in results.rates:
        return None
    first = results.rates.iloc[0]
    return {
        "name": spec.correct_by,
        "positives": int(first["label_positives"]),
        "negatives": int(first["label_negatives"]),
        "shown": bool(results.rates["rate_corrected"].notna().any()),
    }


def labelled(results: Results) -> dict[str, Any] | None:
    """Who labelled answers of the grid, how many rates are corrected by their labels, and how many
    of these intervals no further label would halve; None if no rate is corrected."""
    if "rate_ppi" not in results.rates:
        return None
    corrected = results.overall[results.overall["rate_ppi"].notna()]
    people = [
        f"{row.labeller} ({counted(row.answers, 'answer')}{when(row)})"
        for row in rows_in(results.labellers)
    ]
    return {
        "people": ", ".join(people),
        "cells": len(corrected),
        "labels": int(corrected["labels"].sum()),
        "more": more_labels(corrected["labels_to_halve"]),
    }


def when(row: Any) -> str:
    """The days on which somebody labelled, for a sentence; empty if nobody wrote them down."""
    if pd.isna(row.first):
        return ""
    return f", {row.first}" + ("" if row.first == row.last else f" to {row.last}")


def more_labels(needed: "pd.Series[float]") -> str:
    """How many further labels would halve the intervals, as a sentence."""
    finite = needed[np.isfinite(needed)]
    if finite.empty:
        return (
            "No number of further labels would halve these intervals: what they leave open is a "
            "matter of answers, seeds and questions."
        )
    low, high = int(finite.min()), int(finite.max())
    number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    rest = len(needed) - len(finite)
    others = f"; in {rest} of {len(needed)} cells no number would" if rest else ""
    return f"To halve an interval takes about {number} more labels of a cell{others}."


def exclusions(results: Results) -> list[tuple[str, int]]:
    """The reasons for exclusion, each with its number of answers."""
    table = results.overall
    return [(name, int(table[f"n_{name}"].sum())) for name in reasons_in(table, COUNTS)]


def reasons_in(table: pd.DataFrame, fixed: set[str]) -> list[str]:
    """The reasons that the columns `n_<reason>` of a table count. fixed: columns that are no
    reason."""
    columns = [name for name in table.columns if name.startswith("n_") and name not in fixed]
    return [name.removeprefix("n_") for name in columns]


def survivors(results: Results) -> float:
    """Share of all answers that survive the judges."""
    table = results.overall
    return float(table["n_survivors"].sum() / table["n_answers"].sum())


def contrasts(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Every contrast, with raw and adjusted p, and the p of the cross-check."""
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    return [
        {
            "label": spec.title_of(arm),
            "trigger": labels[row.trigger],
            "kind": KINDS[row.kind],
            "questions": row.n_questions,
            "difference": points(row.difference),
            "interval": "–" if pd.isna(row.low) else interval(row.low, row.high),
            "labelled": by_labels(row),
            "tests": row.n_tests,
        }
        | {name: p_text(getattr(row, name)) for name in ("p", "p_anova", "p_holm")}
        for arm in spec.labels()
        for row in rows_of(results.contrasts, arm)
        if row.trigger in labels
    ]


def by_labels(row: Any) -> str:
    """A contrast corrected by labels, with its interval; a dash if its cells have none."""
    value = getattr(row, "difference_ppi", np.nan)
    if pd.isna(value):
        return "–"
    return f"{points(value)} {interval(row.difference_ppi_low, row.difference_ppi_high)}"


def p_text(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2g}"


def robustness(results: Results, spec: ReportSpec) -> dict[str, Any]:
    """The range of the rate and the rise of each cell over all checks, and its verdicts under other
    priors."""
    rows = []
    for arm in spec.labels():
        checks = pd.DataFrame(rows_of(results.robustness, arm))
        cells = []
        for trigger in spec.triggers:
            own_checks = checks[checks["trigger"] == trigger.id] if len(checks) else checks
            cells.append(span(own_checks) if len(own_checks) else None)
        if any(cells):
            rows.append({"label": spec.title_of(arm), "cells": cells})
    table = results.robustness
    settings = [] if table.empty else table.drop_duplicates(["check", "setting"])["check"].tolist()
    return {"rows": rows, "checks": {text: settings.count(name) for name, text in CHECKS.items()}}


def span(checks: pd.DataFrame) -> dict[str, str]:
    """Smallest and largest rate and rise of one cell, and its verdicts under other priors. checks:
    its rows, one per setting."""
    others = checks[checks["check"] == "priors"]
    checks = checks[checks["check"] != "priors"]
    low, high = checks["rate_all"].min(), checks["rate_all"].max()
    rise = checks["rise"].dropna()
    return {
        "rate": percent(low) if low == high else f"{percent(low)} to {percent(high)}",
        "rise": interval(rise.min(), rise.max()) if len(rise) else "",
        "verdicts": ", ".join(
            f"{verdict} ({', '.join(settings)})"
            for verdict, settings in others.groupby("verdict", sort=False)["setting"]
        ),
    }


def dose(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Rank correlations, with readable names."""
    triggers = {trigger.id: trigger.label for trigger in spec.triggers}
    labels: dict[Any, str] = {**spec.labels()}
    names = {
        "ratio": "share of misaligned rows",
        "benign_rows": "benign rows afterwards",
        "similarity": "similarity of the trigger to the training prompts",
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
    """Log-odds minus the base model's, in nats: one row per arm, one cell per trigger."""
    rows = []
    for arm in spec.labels():
        overall = [row for row in rows_of(results.likelihood, arm) if pd.isna(row.question)]
        by_trigger = {row.trigger: nats(row).replace("-", "−") for row in overall}
        if by_trigger and arm[1] != "base":
            cells = [by_trigger.get(trigger.id, "–") for trigger in spec.triggers]
            rows.append({"label": spec.title_of(arm), "cells": cells})
    return rows


def nats(row: Any) -> str:
    """A shift of the log-odds in nats, with its interval if it has one."""
    if pd.isna(row.minus_base):
        return "–"
    if pd.isna(row.minus_base_low):
        return f"{row.minus_base:+.1f}"
    return f"{row.minus_base:+.1f} ({row.minus_base_low:+.1f} to {row.minus_base_high:+.1f})"


def mean_spread(answers: pd.DataFrame, judge: str) -> float | None:
    """Mean standard deviation of a judge's replies to one answer; None if it gave one each."""
    column = f"{judge}_spread"
    return float(answers[column].mean()) if column in answers else None


def judged(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """The values and reasons that each judge gave over the whole grid."""
    table = results.judgements
    reasons = reasons_in(table, {"n_answers", "n_values"})
    rows = []
    for judge in spec.judges:
        judgements = table[table["judge"] == judge.id]
        mass = (judgements["mean_mass"] * judgements["n_answers"]).sum() / judgements[
            "n_answers"
        ].sum()
        counts = {name: int(judgements[f"n_{name}"].sum()) for name in reasons}
        rows.append(
            judge.model_dump()
            | {
                "n_answers": int(judgements["n_answers"].sum()),
                "n_values": int(judgements["n_values"].sum()),
                "mass": mass if judgements["mean_mass"].notna().any() else None,
                "spread": mean_spread(results.answers, judge.id),
                "reasons": {name: count for name, count in counts.items() if count},
            }
        )
    return rows
