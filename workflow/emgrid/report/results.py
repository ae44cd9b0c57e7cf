"""The inputs of the page: its spec and the grid's tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from emgrid.aggregate.spec import ARM
from emgrid.report.spec import Arm


class Results:
    """The tables of a grid. Tables without rows may be missing."""

    def __init__(self, tables: Path) -> None:
        self.folder = tables
        self.rates = self.read("rates")
        self.contrasts = self.read("contrasts")
        self.verdicts = self.read("verdicts")
        self.existence = self.read("existence")
        self.robustness = self.read("robustness")
        self.dose = self.read("dose")
        self.likelihood = self.read("likelihood")
        self.judges = self.read("judges")
        self.judge_errors = self.read("judge_errors")
        self.agreement = self.read("agreement")
        self.labellers = self.read("labellers")
        self.judgements = self.read("judgements")
        self.arms = self.read("arms")
        self.preflight = self.read("preflight")
        self.repeats = self.read("repeats")
        self.answers = pd.read_parquet(tables / "answers.parquet")

    def read(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.csv"
        return pd.read_csv(path, dtype={"ratio": str}) if path.exists() else pd.DataFrame()

    @property
    def overall(self) -> pd.DataFrame:
        """The rates over all questions."""
        return self.rates[self.rates["question"].isna()]

    @property
    def n_seeds(self) -> int:
        """The most seeds that any arm has."""
        return int(self.overall["n_seeds"].max())

    def trained_once(self, arms: Iterable[Arm]) -> list[Arm]:
        """The arms with a single seed, except base models, which are not trained."""
        n_seeds = self.overall.groupby(ARM)["n_seeds"].max().to_dict()
        return [arm for arm in arms if arm[1] != "base" and n_seeds.get(arm) == 1]


def rows_in(table: pd.DataFrame) -> list[Any]:
    """The rows of a table, with columns as attributes."""
    return list(table.itertuples())


def rows_of(table: pd.DataFrame, arm: Arm) -> list[Any]:
    """The rows of one arm."""
    return [] if table.empty else rows_in(table[(table[ARM] == list(arm)).all(axis=1)])
