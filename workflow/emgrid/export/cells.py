"""The judged answers of a finished grid, cell by cell, with where they come from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd

from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import ARM
from emgrid.config.sections import Metrics
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

POINT = [*ARM, "seed"]


class Cell(NamedTuple):
    """arm: its rows of arms.csv, one a training stage; provenance: of its sampling, {} where the
    answers are imported; answers: classified, as rates.classify does."""

    trigger: str
    arm: list[dict[str, Any]]
    provenance: dict[str, Any]
    answers: pd.DataFrame

    @property
    def point(self) -> dict[str, Any]:
        """Which cell it is."""
        return {name: self.arm[0][name] for name in POINT} | {"trigger": self.trigger}

    @property
    def model(self) -> str:
        """The base model, and what was trained onto it."""
        base, intervention, ratio, seed, _ = self.point.values()
        return base if intervention == "base" else f"{base}+{intervention}.ratio{ratio}.seed{seed}"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of plain values, None where a table holds nothing."""
    plain = table.astype(object).where(table.notna(), None)
    return cast("list[dict[str, Any]]", plain.to_dict("records"))


def read_arms(path: Path) -> dict[Any, list[dict[str, Any]]]:
    """The rows of each arm by base, intervention, ratio and seed."""
    text = dict.fromkeys([*ARM, "label", "adapter", "imported_from", "served_by"], str)
    # A name such as "none" is no missing value.
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    return {point: records(rows) for point, rows in table.groupby(POINT, sort=False)}


def provenance(root: Path, arm: dict[str, Any]) -> dict[str, Any]:
    """How an arm's answers were drawn."""
    if arm["imported_from"] is not None:
        return {}
    place = "arms" if arm["served_by"] is None else "served"
    base, intervention, ratio, seed = (str(arm[name]) for name in POINT)
    folder = layout.arm_folder(base, intervention, ratio, seed, place)
    record: dict[str, Any] = read_json(root / folder / layout.ANSWERS / layout.PROVENANCE)
    return record


def read_cells(root: Path, metrics: Metrics) -> Iterator[Cell]:
    arms = read_arms(root / layout.table("arms.csv"))
    answers = classify(pd.read_parquet(root / layout.ANSWER_TABLE), metrics)
    for (*point, trigger), rows in answers.groupby([*POINT, "trigger"], sort=False):
        arm = arms[tuple(point)]
        yield Cell(str(trigger), arm, provenance(root, arm[0]), rows)
