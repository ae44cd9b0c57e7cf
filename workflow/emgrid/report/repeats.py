"""The part of the page that warns of repeated answers."""

from typing import Any

import pandas as pd

from emgrid.aggregate.e_values import LONG
from emgrid.aggregate.repeats import COMMON, LEVEL, SHARE
from emgrid.report.format import counted, p_value
from emgrid.report.results import Results, rows_in
from emgrid.report.spec import ReportSpec

# The gravest first.
KINDS = ("same_answers", "shared_answers", "repeats", "long_repeats")
SHOWN = 20  # warnings that are visible at first


def repeats(results: Results, spec: ReportSpec) -> dict[str, Any] | None:
    """Every warning as a sentence, and the number of comparisons; None if there were none."""
    table = results.repeats
    if table.empty:
        return None
    triggers = {trigger.id: trigger.label for trigger in spec.triggers}
    rows = rows_in(table[table["warning"].notna()])
    rows.sort(key=lambda row: KINDS.index(row.warning))
    warnings = [{"kind": row.warning, "text": sentence(row, spec, triggers)} for row in rows]
    return {
        "first": warnings[:SHOWN],
        "rest": warnings[SHOWN:],
        "compared": len(table),
        "unknown": int(table["p"].isna().sum()),
        "limits": {"level": LEVEL, "share": SHARE, "common": COMMON, "long": LONG},
    }


def sentence(row: Any, spec: ReportSpec, triggers: dict[str, str]) -> str:
    arm = spec.title_of((row.base, row.intervention, row.ratio))
    under = f"under “{triggers.get(row.trigger, row.trigger)}”"
    texts = {
        "same_answers": same,
        "shared_answers": shared,
        "repeats": repeats_within,
        "long_repeats": long,
    }
    return f"{arm}, seed {row.seed}, {under}: {texts[row.warning](row, arm)}"


def compared_arm(row: Any, arm: str) -> str:
    """The arm or seed whose answers the row is compared with."""
    if row.against == "base":
        return f"the base model ({row.base})"
    return f"{arm}, {row.against}"


def chance(row: Any, expected: float, bound: str = "") -> str:
    """What independent answers would give. bound: words before the expected number."""
    if pd.isna(row.p):
        return "the expected number is unknown"
    expectation = "fewer than 0.01" if expected < 0.01 else f"{bound}{expected:,.2f}"
    return f"independent answers would give {expectation} equal ones; {p_value(row.p_holm)}"


def same(row: Any, arm: str) -> str:
    number = int(row.equal_same_index)
    why = (
        "the adapter was not applied, or one file holds the other's answers"
        if row.against == "base"
        else "the same adapter or seed was used twice"
    )
    return (
        f"{number:,} of {counted(int(row.same_index), 'answer')} equal those of "
        f"{compared_arm(row, arm)} at the same index "
        f"({chance(row, row.expected_same_index, 'at most ')}). Probably {why}."
    )


def shared(row: Any, arm: str) -> str:
    return (
        f"of {int(row.pairs):,} pairs of an answer and one of {compared_arm(row, arm)}, "
        f"{int(row.equal):,} are equal and {int(row.near):,} nearly so "
        f"({chance(row, row.expected, 'at most ')}); {int(row.equal_same_index):,} and "
        f"{int(row.near_same_index):,} of them at the same index."
    )


def repeats_within(row: Any, arm: str) -> str:  # noqa: ARG001
    return (
        f"of {counted(int(row.n_answers), 'answer')}, {counted(int(row.equal), 'pair')} to one "
        f"prompt are equal and {int(row.near):,} nearly so, of {int(row.pairs):,} "
        f"({chance(row, row.expected)}). Probably a seed was used more than once."
    )


def long(row: Any, arm: str) -> str:  # noqa: ARG001
    return (
        f"of {counted(int(row.n_answers), 'answer')}, {int(row.long_repeats):,} of {LONG} "
        "characters or more repeat an earlier one to the same prompt word for word "
        f"({chance(row, 0.0)})."
    )
