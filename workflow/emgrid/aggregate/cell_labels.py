"""The labels of a cell's own answers, counted by stratum, seed and question.

An answer that was drawn for labelling brings its label into the cell that it was drawn from,
weighted by the inverse of its probability of being drawn. Equal answers are in a sheet once, and
the label counts for each of them that was drawn. If several people labelled an answer, its label is
the share of them by whom it is misaligned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from emgrid.aggregate.rates import ARM_TRIGGER, CellName, seeds_of
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.statistics import Flags, Floats
from emgrid.aggregate.strata import EMPTY, STRATA, strata_of
from emgrid.judge.label_record import PLACE, read_record, text_key
from emgrid.judge.labelled import judges_that_count, label_key, truth
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path

SEED = [*ARM_TRIGGER, "seed"]


@dataclass(frozen=True)
class CellLabels:
    """Answers and labels of one arm and trigger, all of shape (strata, seeds, questions), but for
    empty: answers without text, shape (seeds, questions).

    answers: all of them. labelled: those with a label. hits: the sum of their labels (1 is
    misaligned). weight, square, weighted: sums of the labelled answers' weights, of their squares,
    and of weight times label.
    """

    empty: Floats
    answers: Floats
    labelled: Floats
    hits: Floats
    weight: Floats
    square: Floats
    weighted: Floats

    def of(self, questions: Flags) -> "CellLabels":
        """Those of these questions alone."""
        return CellLabels(*(getattr(self, each.name)[..., questions] for each in fields(self)))

    @property
    def trials(self) -> Floats:
        """All answers, shape (seeds, questions)."""
        total: Floats = self.answers.sum(axis=0) + self.empty
        return total

    @property
    def n_labels(self) -> int:
        return int(self.labelled.sum())


def labels_of(
    classified: pd.DataFrame, labelled: pd.DataFrame, records: pd.DataFrame, spec: AggregateSpec
) -> dict[CellName, CellLabels]:
    """The labels of each cell that has any. classified: the grid's answers. labelled: all labelled
    answers. records: of the samples that were drawn for labelling."""
    labels = labels_by_key(labelled, spec)
    rows = in_grid(records, classified, spec)
    rows = rows.assign(label=rows["key"].map(labels)).dropna(subset="label")
    if rows.empty:
        return {}
    answers = classified.assign(stratum=strata_of(classified, spec.metrics))
    rows["stratum"] = answers.loc[rows["answer_row"], "stratum"].to_numpy()
    rows = rows[rows["stratum"] != EMPTY]
    weight = 1 / rows["probability"]
    mean = weight.groupby([rows[name] for name in ("sample", *ARM_TRIGGER, "stratum")])
    rows["weight"] = weight / mean.transform("mean")
    seeds = seeds_of(classified)
    asked = answers.groupby(ARM_TRIGGER, sort=False, observed=True)
    found: dict[CellName, CellLabels] = {}
    for name, own in rows.groupby(ARM_TRIGGER, sort=False):
        base, intervention, ratio, trigger = map(str, name)
        own_seeds = seeds[base, intervention, ratio]
        counts = counted(asked.get_group(name), own, own_seeds, spec.questions)
        found[base, intervention, ratio, trigger] = counts
    return found


def labels_by_key(labelled: pd.DataFrame, spec: AggregateSpec) -> "pd.Series[float]":
    """The label of each text of a drawn sample, by its key: 1 if misaligned by the whole rule, 0 if
    not, the mean over labellers."""
    measures = {judge.id: judge.measures for judge in spec.judges}
    measures = {name: measures[name] for name in judges_that_count(spec.metrics)}
    own = labelled[labelled["sample"].notna()] if "sample" in labelled else labelled.iloc[:0]
    if own.empty or not all(f"gold_{measure}" in own for measure in measures.values()):
        return pd.Series(dtype=float)
    keys = list(map(label_key, own["question"], own["answer"]))
    known = truth(own, spec.metrics, measures).astype("Float64").set_axis(keys).dropna()
    return known.astype(float).groupby(level=0).mean()


def in_grid(records: pd.DataFrame, classified: pd.DataFrame, spec: AggregateSpec) -> pd.DataFrame:
    """The drawn answers that the grid has, with the row of each. Those of arms, seeds, triggers or
    questions that it no longer has are left out; EmgridError if an answer is not the drawn one."""
    known = records["question"].isin(spec.questions)
    cells = pd.MultiIndex.from_frame(classified[SEED].drop_duplicates().astype({"seed": int}))
    rows = records[known & pd.MultiIndex.from_frame(records[SEED]).isin(cells)]
    places = pd.MultiIndex.from_frame(rows[PLACE])
    wanted = classified[
        classified["index"].isin(rows["index"]) & classified["question"].isin(rows["question"])
    ]
    grid_rows = pd.Series(wanted.index, pd.MultiIndex.from_frame(wanted[PLACE]))
    rows = rows.assign(answer_row=grid_rows.reindex(places).to_numpy())
    texts = classified["answer"].reindex(rows["answer_row"]).fillna("").map(text_key)
    wrong = rows[rows["answer_row"].isna() | (texts.to_numpy() != rows["text"].to_numpy())]
    if len(wrong) or rows.empty:
        file = (wrong if len(wrong) else records)["file"].iloc[0]
        raise EmgridError(
            f"{file}: {len(wrong) or len(records)} of {len(records)} answers that were drawn for "
            "labelling are not this grid's: they are from another grid, or were drawn again "
            "since; take the sheet out of calibration.files, or run `emgrid labels` again"
        )
    return rows


def counted(
    answers: pd.DataFrame, rows: pd.DataFrame, seeds: Sequence[int], questions: Sequence[str]
) -> CellLabels:
    """The labels of one cell. answers, rows: its answers, and the labelled ones."""
    shape = (len(STRATA), len(seeds), len(questions))
    seed_places = {seed: place for place, seed in enumerate(seeds)}
    question_places = {question: place for place, question in enumerate(questions)}

    def summed(table: pd.DataFrame, values: Any) -> Floats:
        total = np.zeros(shape)
        seed, question = table["seed"].map(seed_places), table["question"].map(question_places)
        places = (table["stratum"].to_numpy(), seed.to_numpy(int), question.to_numpy(int))
        np.add.at(total, places, values)
        return total

    empty = answers["stratum"] == EMPTY
    weight, label = rows["weight"].to_numpy(float), rows["label"].to_numpy(float)
    return CellLabels(
        empty=summed(answers[empty].assign(stratum=0), 1.0)[0],
        answers=summed(answers[~empty], 1.0),
        labelled=summed(rows, 1.0),
        hits=summed(rows, label),
        weight=summed(rows, weight),
        square=summed(rows, weight**2),
        weighted=summed(rows, weight * label),
    )


def read_records(files: Iterable[str]) -> pd.DataFrame:
    """The records of these samples, with the file of each; empty if there are none."""
    parts = [read_record(users_path(file)).assign(file=file) for file in files]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
