"""Columns of rates.csv and contrasts.csv for what is corrected by labels of the grid's answers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emgrid.aggregate.cell_labels import CellLabels, labels_of, read_records
from emgrid.aggregate.contrasts import CellTerm, comparison, terms_of
from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.estimates import Comparison
from emgrid.aggregate.ppi_intervals import (
    Corrected,
    Labelled,
    Settings,
    corrected_differences,
    corrected_rates,
)
from emgrid.aggregate.rates import ARM_TRIGGER, CellCounts, CellName, seeds_of
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.statistics import Counts, common, fewest_questions

CONTRAST = [*ARM_TRIGGER, "kind"]


def cells_with_labels(
    classified: pd.DataFrame, labelled: pd.DataFrame, spec: AggregateSpec
) -> dict[CellName, CellLabels]:
    """The cells of which answers were drawn and labelled."""
    records = read_records(spec.samples)
    return {} if records.empty else labels_of(classified, labelled, records, spec)


def columns_of(name: str, corrected: Corrected) -> dict[str, float]:
    """The columns of a corrected rate or difference; no number if no number of labels would halve
    its interval."""
    return {
        f"{name}_ppi": corrected.value,
        f"{name}_ppi_low": corrected.low,
        f"{name}_ppi_high": corrected.high,
        "labels": corrected.labels,
        "labels_to_halve": corrected.more if np.isfinite(corrected.more) else np.nan,
    }


def with_ppi_rates(
    table: pd.DataFrame, cells: Mapping[CellName, CellLabels], spec: AggregateSpec
) -> pd.DataFrame:
    """The table of rates with the corrected rate of each cell that has labels, over all questions;
    the table itself if no cell has any."""
    if not cells:
        return table
    rates = corrected_rates(cells, Settings.of(spec.metrics))
    rows = [
        dict(zip(ARM_TRIGGER, name, strict=True)) | {"question": ""} | columns_of("rate", rate)
        for name, rate in rates.items()
    ]
    return table.merge(pd.DataFrame(rows), how="left", on=[*ARM_TRIGGER, "question"])


def with_ppi_differences(
    table: pd.DataFrame,
    classified: pd.DataFrame,
    cells: Mapping[CellName, CellLabels],
    spec: AggregateSpec,
) -> pd.DataFrame:
    """The table of contrasts with the corrected difference of those whose cells all have labels;
    the table itself if there are none."""
    seeds = seeds_of(classified)
    contrasts = {
        (*arm, trigger, kind): labelled_contrast(terms, cells, seeds, spec)
        for arm, trigger, kind, terms in terms_of(cells, spec)
    }
    given = {name: each for name, each in contrasts.items() if each is not None}
    if not given:
        return table
    found = corrected_differences(list(given.values()), Settings.of(spec.metrics))
    rows = [
        dict(zip(CONTRAST, name, strict=True)) | columns_of("difference", each)
        for name, each in zip(given, found, strict=True)
    ]
    return table.merge(pd.DataFrame(rows), how="left", on=CONTRAST)


def labelled_contrast(
    terms: list[CellTerm],
    cells: Mapping[CellName, CellLabels],
    seeds: dict[ArmName, tuple[int, ...]],
    spec: AggregateSpec,
) -> Labelled | None:
    """A contrast with the labels of its cells, over the questions that all of them were asked; None
    if these are too few."""
    names = tuple((*term.arm, term.trigger) for term in terms)
    asked = [Counts(np.zeros(cells[name].trials.shape, np.int64),
                    cells[name].trials.astype(np.int64)) for name in names]  # fmt: skip
    shared = common(asked)
    fewest = fewest_questions(spec.metrics.fixed_questions, len(spec.questions))
    if shared.sum() < fewest:
        return None

    def compare(counts: Mapping[CellName, Counts]) -> Comparison:
        both = {name: CellCounts(each, each) for name, each in counts.items()}
        found = comparison(terms, both, seeds, "answers", fewest)
        assert found is not None  # nothing is left out among all answers
        return found

    return Labelled(names, tuple(cells[name].of(shared) for name in names), compare)
