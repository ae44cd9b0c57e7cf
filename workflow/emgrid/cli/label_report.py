"""emgrid labels --read: what filled-in sheets say, and how many more labels would say twice as
much."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from emgrid.aggregate.cell_labels import labels_of, read_records
from emgrid.aggregate.labellers import labeller_rows, labeller_table
from emgrid.aggregate.ppi_intervals import Corrected, Settings, corrected_rates
from emgrid.aggregate.rates import CellName
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.cli import format
from emgrid.cli.project import root_of
from emgrid.config.sections import Calibration
from emgrid.grid.grid import Grid
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.judge.label_record import find_record
from emgrid.judge.labelled import read_labels
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError

DASH = "–"
LEAST_KAPPA = 0.6  # below, labellers disagree too often for their labels to be a truth


def run(grid: Grid, files: Sequence[Path], as_json: bool) -> None:
    spec = AggregateSpec.model_validate_json(aggregate_spec(grid))
    labelled = read_sheets(files, grid.config.calibration)
    answers = grid_answers(grid)
    records = read_records(list(map(str, records_of(files))))
    cells = labels_of(answers, labelled, records, spec)
    if not cells:
        raise EmgridError(
            f"{files[0]}: no answer has labels of all that `metrics` count by; fill in the columns"
        )
    rates = corrected_rates(cells, Settings.of(spec.metrics))
    rows = labeller_table(labelled).to_dict("records")
    people = [{str(key): value for key, value in row.items()} for row in rows]
    agreement = list(labeller_rows(labelled, spec.judges, spec.metrics))
    if as_json:
        corrected = [row_of(name, rate) for name, rate in rates.items()]
        found = {"labellers": people, "agreement": agreement, "cells": corrected}
        print(json.dumps(plain(found), ensure_ascii=False))
        return
    show(format.console(), people, agreement, rates)


def read_sheets(files: Sequence[Path], calibration: Calibration) -> pd.DataFrame:
    """The labelled answers of these files."""
    for path in files:
        if not path.is_file():
            raise EmgridError(f"{path}: no such file")
    parts = [read_labels(path, path.name.removesuffix(".csv"), calibration) for path in files]
    return pd.concat(parts, ignore_index=True)


def records_of(files: Sequence[Path]) -> list[Path]:
    """The record of each of these files, each once."""
    found: dict[Path, None] = {}
    for path in files:
        record = find_record(path)
        if record is None:
            raise EmgridError(
                f"{path}: the record of its sample ({path.stem}.sample.csv) is not next to it, so "
                "nobody knows how its answers were drawn; put it there"
            )
        found[record.absolute()] = None
    return list(found)


def grid_answers(grid: Grid) -> pd.DataFrame:
    path = root_of(grid) / layout.ANSWER_TABLE
    if not path.exists():
        raise EmgridError(f"{path}: does not exist yet; run the grid first")
    return pd.read_parquet(path)


def row_of(name: CellName, rate: Corrected) -> dict[str, Any]:
    about = dict(zip([*ARM, "trigger"], name, strict=True))
    values = {"rate_ppi": rate.value, "rate_ppi_low": rate.low, "rate_ppi_high": rate.high}
    return about | {"labels": rate.labels, "labels_to_halve": rate.more} | values


def plain(value: Any) -> Any:
    """The value for JSON: no number instead of NaN and infinity."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return None if value is pd.NA else value


def show(
    console: Console,
    people: list[dict[str, Any]],
    agreement: list[dict[str, Any]],
    rates: dict[CellName, Corrected],
) -> None:
    for person in people:
        console.print(f"{person['labeller']}: {person['answers']} answers{dates(person)}")
    for row in agreement:
        console.print(agreement_text(row))
    table = Table(
        title="rates corrected by labels (prediction-powered inference)",
        caption=f"{DASH}: more answers, seeds or questions are needed, labels alone cannot do it",
    )
    for name in ("intervention", "trigger"):
        table.add_column(name)
    for name in ("labels", "rate", "interval", "more labels to halve it"):
        table.add_column(name, justify="right")
    for (_, intervention, ratio, trigger), rate in rates.items():
        more = f"{rate.more:,.0f}" if np.isfinite(rate.more) else DASH
        interval = f"{rate.low:.1%} to {rate.high:.1%}"
        texts = (f"{intervention} {ratio}", trigger, str(rate.labels), f"{rate.value:.1%}")
        table.add_row(*texts, interval, more)
    console.print(table)


def dates(person: dict[str, Any]) -> str:
    """When a labeller labelled, in words."""
    if pd.isna(person["first"]):
        return ", no date"
    if person["first"] == person["last"]:
        return f", on {person['first']}"
    return f", {person['first']} to {person['last']}"


def agreement_text(row: dict[str, Any]) -> str:
    """The agreement of labellers on one measure."""
    numbers = {"kappa": row.get("cohen_kappa", np.nan), "alpha": row["krippendorff_alpha"]}
    known = [f"{name} {value:.2f}" for name, value in numbers.items() if not np.isnan(value)]
    low = numbers["kappa"] < LEAST_KAPPA
    advice = " (low: agree on what the words mean first)" if low else ""
    said = ", ".join(known) or "all labels are the same"
    return f"{row['measures']}, {row['raters']}, {row['n']} answers: {said}{advice}"
