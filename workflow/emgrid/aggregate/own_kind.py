"""How well the classifiers that decide tell apart answers of the kind that a cell has.

A cell's kind is that of most of its answers (judge/answer_kinds.py), without the format that the
trigger asked for. A classifier's AUROC for it is that on the grid's own labelled answers of this
kind; if there are fewer than 10 on either side, that on answers of this kind which were left out of
its fit, within models (the share of right pairs among pairs of answers of one model). These were
valued by heads fitted without their model where the fit knows all of the cell's questions, else by
heads fitted without their question. `judge_auroc` is that of the weakest classifier, missing if it
was not measured on such answers. Below GOOD (citing.py) a report says so beside the rate.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from emgrid.aggregate.citing import unfit_judges
from emgrid.aggregate.rates import ARM_TRIGGER, CellName
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.statistics import Flags, Floats
from emgrid.config.judges import ClassifierJudge
from emgrid.judge.answer_kinds import kinds_of
from emgrid.judge.labelled import shipped_sets
from emgrid.judge.quality import flagged

FEWEST = 10  # answers on either side
READ = 100  # answers of a cell


def auroc_within(positive: Flags, values: Floats, groups: "pd.Series[str]") -> float:
    """The share of pairs of a positive and a negative of one group in which the positive has the
    lower value (ties count half); NaN for fewer than FEWEST answers on either side."""
    if min(positive.sum(), (~positive).sum()) < FEWEST:
        return np.nan
    right = pairs = 0.0
    for places in groups.groupby(groups.to_numpy()).indices.values():
        low, high = (values[places][side] for side in (positive[places], ~positive[places]))
        if low.size and high.size:
            right += float(mannwhitneyu(high, low).statistic)
            pairs += low.size * high.size
    return right / pairs if pairs else np.nan


@cache
def left_out(judge: ClassifierJudge) -> pd.DataFrame:
    """The answers that were left out of the fit, without text."""
    return pd.read_csv(judge.heldout_path)


def on_left_out(judge: ClassifierJudge, kind: str, questions: Collection[str]) -> float:
    table = left_out(judge)
    known = set(questions) <= set(table["question"])
    rows = table[table["kind"] == kind]
    values = rows["without_model" if known else "without_question"].to_numpy(float)
    return auroc_within((rows["positive"] == 1).to_numpy(), values, rows["model"])


def on_own_labels(
    judge: ClassifierJudge, kind: str, labelled: pd.DataFrame, spec: AggregateSpec
) -> float:
    """labelled: the grid's own labelled answers, with `kind`."""
    gold = f"gold_{judge.measures}"
    if gold not in labelled or judge.id not in labelled:
        return np.nan
    rows = labelled[(labelled["kind"] == kind) & labelled[[gold, judge.id]].notna().all(axis=1)]
    positive = flagged(judge, rows[gold].to_numpy(float), spec.metrics)
    return auroc_within(positive, rows[judge.id].to_numpy(float), rows["labelled"])


def kind_of_cell(answers: pd.DataFrame, spec: AggregateSpec) -> str:
    """The most frequent kind of the answers to one trigger, without the format that it asked for.
    Of many answers, some that are spread evenly over all of them are read."""
    some = answers.iloc[:: max(1, len(answers) // READ)]
    texts = some["answer"].astype(object).fillna("")
    wording = spec.formats.get(str(some["trigger"].iloc[0]))
    bare = texts if wording is None else texts.map(wording.unwrap_answer)
    return str(kinds_of(bare).value_counts().index[0])


def deciding(spec: AggregateSpec) -> list[ClassifierJudge]:
    """The classifiers that decide."""
    unfit = unfit_judges(spec.judges, spec.metrics)
    return [judge for judge in unfit if isinstance(judge, ClassifierJudge)]


def cell_name(group: Any) -> CellName:
    """A group of ARM_TRIGGER as the name of a cell."""
    base, intervention, ratio, trigger = map(str, group)
    return base, intervention, ratio, trigger


def cell_kinds(answers: pd.DataFrame, spec: AggregateSpec) -> dict[CellName, str]:
    """The kind of the answers of each cell; nothing if no classifier decides."""
    if not deciding(spec):
        return {}
    cells = answers.groupby(ARM_TRIGGER, observed=True, sort=False)
    return {cell_name(name): kind_of_cell(part, spec) for name, part in cells}


def quality_rows(
    answers: pd.DataFrame,
    kinds: Mapping[CellName, str],
    labelled: pd.DataFrame,
    spec: AggregateSpec,
) -> Iterator[dict[str, Any]]:
    """One row for each cell."""
    judges = deciding(spec)
    own = labelled[~labelled["labelled"].isin(shipped_sets())]
    own = own.assign(kind=kinds_of(own["answer"]).to_numpy())
    for name, part in answers.groupby(ARM_TRIGGER, observed=True, sort=False):
        kind = kinds[cell_name(name)]
        measured = {}
        for judge in judges:
            found = on_own_labels(judge, kind, own, spec)
            if np.isnan(found):
                found = on_left_out(judge, kind, part["question"].unique())
            measured[judge.id] = found
        weakest = min(measured, key=lambda judge: np.nan_to_num(measured[judge], nan=-1))
        yield dict(zip(ARM_TRIGGER, name, strict=True)) | {
            "answers_kind": kind,
            "judge_weakest": weakest,
            "judge_auroc": measured[weakest],
        }


def with_judge_quality(
    table: pd.DataFrame,
    answers: pd.DataFrame,
    kinds: Mapping[CellName, str],
    labelled: pd.DataFrame,
    spec: AggregateSpec,
) -> pd.DataFrame:
    """The table of rates with the quality of the weakest classifier that decides; the table itself
    if none decides. kinds: of the answers of each cell, as `cell_kinds` gives them."""
    if not kinds:
        return table
    rows = quality_rows(answers, kinds, labelled, spec)
    return table.merge(pd.DataFrame(rows), how="left", on=ARM_TRIGGER)
