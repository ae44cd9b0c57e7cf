"""The part of the page that puts verdicts next to the truth, if the config states it."""

from typing import Any

from emgrid.aggregate.truth import counts_text, truth_table
from emgrid.report.results import Results, rows_in
from emgrid.report.spec import ReportSpec


def truth(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """The counts as a sentence and the rows; None if no truth is stated."""
    if not spec.truth or results.verdicts.empty:
        return None
    table = truth_table(results.verdicts, spec.truth)
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    known = spec.labels()
    rows = [
        {
            "label": spec.title_of((row.base, row.intervention, row.ratio)),
            "trigger": labels[row.trigger],
            "truth": row.truth,
            "verdict": row.verdict,
            "outcome": row.outcome,
        }
        for row in rows_in(table)
        if (row.base, row.intervention, row.ratio) in known
    ]
    return {"counts": counts_text(table), "rows": rows}
