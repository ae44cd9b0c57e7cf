"""What figures read from the tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.statistics import FEWEST_QUESTIONS
from emgrid.config.published import ReferenceRate
from emgrid.runtime import layout

ARM = ["base", "intervention", "ratio"]
ARM_TRIGGER = [*ARM, "trigger"]
CellName = tuple[str, ...]  # base, intervention, ratio, trigger


class NothingToDraw(Exception):
    """The figure is empty; the message, which it shows instead, says why."""


class Measure(NamedTuple):
    """A column and the ends of its interval."""

    value: str
    low: str
    high: str

    @classmethod
    def of(cls, value: str) -> "Measure":
        return cls(value, f"{value}_low", f"{value}_high")


RATE = Measure.of("rate_all")
SURVIVORS = "rate_survivors"
SHIFT = Measure.of("minus_base")
CONTRAST = Measure("difference", "low", "high")
DASH = "–"  # shown instead of a rate if no answer survived


def read(root: Path, name: str) -> pd.DataFrame:
    """Read a table, with ratios as text."""
    try:
        table = pd.read_csv(root / layout.table(name), dtype={"ratio": str})
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    if table.empty:
        raise NothingToDraw(f"{layout.table(name)} has no rows")
    return table


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The rows over all questions, indexed by base, intervention, ratio and trigger."""
    return table[table["question"].isna()].set_index(ARM_TRIGGER)


def none_survived(table: pd.DataFrame) -> pd.Series:
    """Whether each row has answers but no survivors, and so no rate. False for a table that does
    not count survivors."""
    if "n_survivors" not in table:
        return pd.Series(False, index=table.index)
    return table["n_survivors"] == 0


def without_rates(table: pd.DataFrame) -> pd.DataFrame:
    """The table with missing rates where no answer survived (the table has 0 of all answers)."""
    survived = ~none_survived(table)
    return table.assign(**{name: table[name].where(survived) for name in RATE})


class Comparison:
    """Rows of cells that are compared side by side, over the questions that all of them share.

    whole: a table with rows over all questions and for each question. If the cells have the same
    questions, their rows are those over all questions. Otherwise a value is the mean over the
    shared questions, without an interval, and missing if these are fewer than two; `common` is then
    their number. A cell without survivors has no rate.
    """

    def __init__(self, whole: pd.DataFrame, measure: Measure) -> None:
        self.measure = measure
        self.overall = overall(whole)
        by_question = whole[whole["question"].notna()]
        self.values = by_question.pivot(index=ARM_TRIGGER, columns="question", values=measure.value)
        counted = "n_answers" in whole
        self.counts = (
            by_question.pivot(index=ARM_TRIGGER, columns="question", values="n_answers")
            if counted
            else None
        )

    def rows(self, cells: Sequence[CellName]) -> pd.DataFrame:
        """One row per cell, in the order given; a cell that the table lacks has no values."""
        rows = self.compared(cells)
        return without_rates(rows) if self.measure == RATE else rows

    def compared(self, cells: Sequence[CellName]) -> pd.DataFrame:
        rows = self.overall.reindex(list(cells)).assign(common=np.nan)
        values = self.values.reindex(list(cells))
        has_values = values.notna().any(axis=1)
        known = values[has_values].notna()
        in_all = known.all()
        if not has_values.any() or (known.any() == in_all).all():
            return rows
        shared = values.loc[:, in_all]
        number = int(in_all.sum())
        enough = number >= FEWEST_QUESTIONS
        rows[self.measure.value] = shared.mean(axis=1) if enough else np.nan
        rows[[self.measure.low, self.measure.high]] = np.nan
        rows["common"] = np.where(has_values, number, np.nan)
        if self.counts is not None:
            rows["n_answers"] = self.counts.reindex(list(cells)).loc[:, in_all].sum(axis=1)
        return rows


def common_text(rows: pd.DataFrame) -> str:
    """The number of shared questions in words if the rows have different ones, else ""."""
    if rows["common"].isna().all():
        return ""
    number = int(rows["common"].max())
    return f"{number} question{'' if number == 1 else 's'} in common"


def dead_text(rows: pd.DataFrame) -> str:
    """The number of points without survivors in words, else ""."""
    number = int(none_survived(rows).sum())
    return f"no answer survived at {number} point{'' if number == 1 else 's'}" if number else ""


def own_survivors(
    table: pd.DataFrame, cell: tuple[str, ...], values: Iterable[ReferenceRate]
) -> list[float]:
    """The own rate of survivors of a cell if one of its published rates is of survivors, else
    nothing. table: indexed by cell."""
    if cell not in table.index or all(value.of == "all" for value in values):
        return []
    return [float(table[SURVIVORS].to_dict()[cell])]


def errors(rows: pd.DataFrame, measure: Measure) -> np.ndarray:
    """Lengths of the error bars below and above each value, shape (2, rows)."""
    below = rows[measure.value] - rows[measure.low]
    above = rows[measure.high] - rows[measure.value]
    return np.array([below.clip(lower=0), above.clip(lower=0)])


def count_range(counts: pd.Series) -> str:
    """A count, or the range of counts."""
    counts = counts.dropna()
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def of_arm(table: pd.DataFrame, arm: ArmName) -> pd.DataFrame:
    """An arm's rows in a table that is indexed by cell."""
    return table[[cell[:3] == arm for cell in table.index]]


def arms_in(table: pd.DataFrame) -> set[ArmName]:
    return {cell[:3] for cell in table.index}


def seeds_text(rows: pd.DataFrame) -> str:
    seeds = int(rows["n_seeds"].max())
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def answers_text(rows: pd.DataFrame) -> str:
    """The n of an arm's rates: answers per trigger, and seeds."""
    return f"n = {count_range(rows['n_answers'])}, {seeds_text(rows)}"


def correlations(root: Path, over: str) -> dict[tuple[str, str, str, str], str]:
    """Each curve's correlation from dose.csv, by base, intervention, ratio, trigger ("" for
    all)."""
    try:
        table = read(root, "dose.csv")
    except NothingToDraw:
        return {}
    shown = table[(table["over"] == over) & table["spearman"].notna()]
    shown = shown.astype({"ratio": object, "trigger": object}).fillna({"ratio": "", "trigger": ""})
    return {
        (row["base"], row["intervention"], row["ratio"], row["trigger"]): (
            f"\nρ = {row['spearman']:.2f} ({row['low']:.2f}, {row['high']:.2f})\n"
            f"p = {row['p']:.2g}".replace("-", "−")
        )
        for row in shown.to_dict("records")
    }
