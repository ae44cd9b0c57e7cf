"""The tables as figures read them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emgrid.reference import ReferenceRate
from emgrid.series_points import ArmName

ARM = ["base", "intervention", "ratio"]
CELL = [*ARM, "trigger"]


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


def read(root: Path, name: str) -> pd.DataFrame:
    """A table with its ratios as text."""
    try:
        table = pd.read_csv(root / f"tables/{name}", dtype={"ratio": str})
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    if table.empty:
        raise NothingToDraw(f"tables/{name} has no rows")
    return table


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The rows over all questions, indexed by base, intervention, ratio and trigger."""
    return table[table["question"].isna()].set_index(CELL)


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
