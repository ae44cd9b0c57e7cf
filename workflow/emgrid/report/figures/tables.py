"""The tables as figures read them."""

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
CELL = [*ARM, "trigger"]
CellName = tuple[str, ...]  # base, intervention, ratio, trigger


class NothingToDraw(Exception):
    """Why a figure is empty, in words that it shows instead."""


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
DASH = "–"  # in the place of a rate where no answer survived


def read(root: Path, name: str) -> pd.DataFrame:
    """A table with its ratios as text."""
    try:
        table = pd.read_csv(root / layout.table(name), dtype={"ratio": str})
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    if table.empty:
        raise NothingToDraw(f"{layout.table(name)} has no rows")
    return table


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The rows over all questions, indexed by base, intervention, ratio and trigger."""
    return table[table["question"].isna()].set_index(CELL)


def none_survived(table: pd.DataFrame) -> pd.Series:
    """Which rows have answers of which none survived, and so no rate. False in a table that does
    not count survivors."""
    if "n_survivors" not in table:
        return pd.Series(False, index=table.index)
    return table["n_survivors"] == 0


def without_rates(table: pd.DataFrame) -> pd.DataFrame:
    """The same with no rate where no answer survived; it is counted as 0 of all answers."""
    survived = ~none_survived(table)
    return table.assign(**{name: table[name].where(survived) for name in RATE})


class Comparison:
    """Rows of cells that are looked at side by side, over the questions that all of them know.

    whole: a table with rows over all questions and for each. Where the cells know the same
    questions, their rows are those over all questions. Where not, a value is the mean over the
    questions in common, without an interval, and missing where these are under two; `common` is
    then how many they are. A cell without survivors has no rate.
    """

    def __init__(self, whole: pd.DataFrame, measure: Measure) -> None:
        self.measure = measure
        self.overall = overall(whole)
        asked = whole[whole["question"].notna()]
        self.values = asked.pivot(index=CELL, columns="question", values=measure.value)
        counted = "n_answers" in whole
        self.counts = (
            asked.pivot(index=CELL, columns="question", values="n_answers") if counted else None
        )

    def rows(self, cells: Sequence[CellName]) -> pd.DataFrame:
        """One row a cell, in their order; of one that the table lacks, without values."""
        found = self.compared(cells)
        return without_rates(found) if self.measure == RATE else found

    def compared(self, cells: Sequence[CellName]) -> pd.DataFrame:
        found = self.overall.reindex(list(cells)).assign(common=np.nan)
        values = self.values.reindex(list(cells))
        there = values.notna().any(axis=1)
        known = values[there].notna()
        everywhere = known.all()
        if not there.any() or (known.any() == everywhere).all():
            return found
        shared = values.loc[:, everywhere]
        number = int(everywhere.sum())
        enough = number >= FEWEST_QUESTIONS
        found[self.measure.value] = shared.mean(axis=1) if enough else np.nan
        found[[self.measure.low, self.measure.high]] = np.nan
        found["common"] = np.where(there, number, np.nan)
        if self.counts is not None:
            found["n_answers"] = self.counts.reindex(list(cells)).loc[:, everywhere].sum(axis=1)
        return found


def common_text(rows: pd.DataFrame) -> str:
    """On how many questions rows of a comparison rest where they know different ones, else ""."""
    if rows["common"].isna().all():
        return ""
    number = int(rows["common"].max())
    return f"{number} question{'' if number == 1 else 's'} in common"


def dead_text(rows: pd.DataFrame) -> str:
    """How many points are missing since no answer survived, else ""."""
    number = int(none_survived(rows).sum())
    return f"no answer survived at {number} point{'' if number == 1 else 's'}" if number else ""


def own_survivors(
    table: pd.DataFrame, cell: tuple[str, ...], values: Iterable[ReferenceRate]
) -> list[float]:
    """The own rate of survivors of a cell that the table is indexed by, where one of its published
    rates is of survivors."""
    if cell not in table.index or all(value.of == "all" for value in values):
        return []
    return [float(table[SURVIVORS].to_dict()[cell])]


def errors(rows: pd.DataFrame, measure: Measure) -> np.ndarray:
    """Lengths of the error bars to either side, 2 x rows."""
    below = rows[measure.value] - rows[measure.low]
    above = rows[measure.high] - rows[measure.value]
    return np.array([below.clip(lower=0), above.clip(lower=0)])


def count_range(counts: pd.Series) -> str:
    """How many, or from how many to how many."""
    counts = counts.dropna()
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def of_arm(table: pd.DataFrame, arm: ArmName) -> pd.DataFrame:
    """An arm's rows, one a trigger, of a table that is indexed by cell."""
    return table[[place[:3] == arm for place in table.index]]


def arms_in(table: pd.DataFrame) -> set[ArmName]:
    return {place[:3] for place in table.index}


def seeds_text(rows: pd.DataFrame) -> str:
    seeds = int(rows["n_seeds"].max())
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def answers_text(rows: pd.DataFrame) -> str:
    """The n of an arm's rates: answers under one trigger, and seeds."""
    return f"n = {count_range(rows['n_answers'])}, {seeds_text(rows)}"


def correlations(root: Path, over: str) -> dict[tuple[str, str, str, str], str]:
    """What dose.csv says of each curve, by base, intervention, ratio and trigger ("" for all)."""
    try:
        table = read(root, "dose.csv")
    except NothingToDraw:
        return {}
    own = table[(table["over"] == over) & table["spearman"].notna()]
    own = own.astype({"ratio": object, "trigger": object}).fillna({"ratio": "", "trigger": ""})
    return {
        (row["base"], row["intervention"], row["ratio"], row["trigger"]): (
            f"\nρ = {row['spearman']:.2f} ({row['low']:.2f}, {row['high']:.2f})\n"
            f"p = {row['p']:.2g}".replace("-", "−")
        )
        for row in own.to_dict("records")
    }
