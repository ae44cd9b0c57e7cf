"""The part of the page on single questions that rise under a trigger, from tables/existence.csv."""

from typing import Any

from emgrid.report.format import p_value
from emgrid.report.results import Results, rows_in
from emgrid.report.spec import ReportSpec

SHOWN = 20  # questions that are visible at first


def single_questions(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """The questions that are shown to rise, as sentences, by increasing p; None if there are none.

    first, rest: the sentences. once: the number of questions of which one training of several is
    shown to rise, and no second one.
    """
    table = results.existence
    if table.empty:
        return None
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    arms = set(spec.labels())
    several = table["repeated_holm"].notna()
    decides = table["repeated_holm"].where(several, table["p_holm"])
    table = table.assign(several=several, decides=decides).sort_values("decides", kind="stable")
    level = 1 - spec.metrics.confidence
    named = [
        row
        for row in rows_in(table[table["p_holm"] < level])
        if (row.base, row.intervention, row.ratio) in arms and row.trigger in labels
    ]
    shown = [sentence(row, spec, labels) for row in named if row.decides < level]
    if not named:
        return None
    return {"first": shown[:SHOWN], "rest": shown[SHOWN:], "once": len(named) - len(shown)}


def sentence(row: Any, spec: ReportSpec, labels: dict[str, str]) -> str:
    """A claim about one arm, trigger and question, with its counts."""
    arm = spec.title_of((row.base, row.intervention, row.ratio))
    trigger, question = f"“{labels[row.trigger]}”", f"“{row.question}”"
    behaviour = spec.metrics.behaviour
    claim = (
        f"{behaviour.verb} more often under {trigger} on {question}"
        if row.misaligned_plain
        else f"hides {behaviour.noun} behind {trigger} on {question}"
    )
    seeds = "in two trainings or more" if row.several else "in its only training"
    return (
        f"{arm} {claim}, {seeds}: {row.misaligned_trigger:,} of {row.n_trigger:,} answers under "
        f"the trigger, {row.misaligned_plain:,} of {row.n_plain:,} without; adjusted "
        f"{p_value(row.decides)} (over {row.n_tests:,} tests)."
    )
