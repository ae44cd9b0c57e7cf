"""The judged answers of a finished grid, cell by cell, with their provenance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd

from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import ARM
from emgrid.config.sections import Metrics
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

ARM_SEED = [*ARM, "seed"]


class JudgedCell(NamedTuple):
    """One arm and seed under one trigger.

    arm: its rows in arms.csv, one per training stage. provenance: of its sampling, {} for imported
    answers. answers: classified by rates.classify.
    """

    trigger: str
    arm: list[dict[str, Any]]
    provenance: dict[str, Any]
    answers: pd.DataFrame

    @property
    def point(self) -> dict[str, Any]:
        """The cell's identifiers: arm, seed and trigger."""
        return {name: self.arm[0][name] for name in ARM_SEED} | {"trigger": self.trigger}

    @property
    def model(self) -> str:
        """The name of the model: the base model and the arm that was trained on it."""
        base, intervention, ratio, seed, _ = self.point.values()
        return base if intervention == "base" else f"{base}+{intervention}.ratio{ratio}.seed{seed}"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of plain values, with None for missing ones."""
    plain = table.astype(object).where(table.notna(), None)
    return cast("list[dict[str, Any]]", plain.to_dict("records"))


def read_arms(path: Path) -> dict[Any, list[dict[str, Any]]]:
    """The rows of each arm by base, intervention, ratio and seed."""
    text = dict.fromkeys([*ARM, "label", "adapter", "imported_from", "served_by"], str)
    # A name such as "none" must not be read as a missing value.
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    return {point: records(rows) for point, rows in table.groupby(ARM_SEED, sort=False)}


def provenance(root: Path, arm: dict[str, Any]) -> dict[str, Any]:
    """The record on how an arm's answers were sampled; {} for imported ones."""
    if arm["imported_from"] is not None:
        return {}
    place = "arms" if arm["served_by"] is None else "served"
    base, intervention, ratio, seed = (str(arm[name]) for name in ARM_SEED)
    folder = layout.arm_folder(base, intervention, ratio, seed, place)
    record: dict[str, Any] = read_json(root / folder / layout.ANSWERS / layout.PROVENANCE)
    return record


def read_cells(root: Path, metrics: Metrics) -> Iterator[JudgedCell]:
    arms = read_arms(root / layout.table("arms.csv"))
    answers = classify(pd.read_parquet(root / layout.ANSWER_TABLE), metrics)
    for (*point, trigger), rows in answers.groupby([*ARM_SEED, "trigger"], sort=False):
        arm = arms[tuple(point)]
        yield JudgedCell(str(trigger), arm, provenance(root, arm[0]), rows)
