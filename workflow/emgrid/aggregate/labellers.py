"""Who labelled the sampled answers of a grid, when, and how far they agree."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from emgrid.aggregate.agreement import SMALLEST, alpha, kappa
from emgrid.config.judges import Judge
from emgrid.config.sections import Metrics
from emgrid.judge.labelled import LABELLED_ON, LABELLER, SAMPLE, label_key
from emgrid.judge.quality import flagged

COLUMNS = ["labeller", "answers", "first", "last"]
ANSWERS = "sample, between labellers"


def sampled(labelled: pd.DataFrame) -> pd.DataFrame:
    """The labelled answers of drawn samples, with their key. A labeller who is not named goes by
    the name of the file."""
    if SAMPLE not in labelled:
        return labelled.iloc[:0].assign(key="", **{LABELLER: "", LABELLED_ON: ""})
    own = labelled[labelled[SAMPLE].notna()]
    keys = list(map(label_key, own["question"], own["answer"]))
    return own.assign(key=keys, **{LABELLER: own[LABELLER].fillna(own["labelled"])})


def labeller_table(labelled: pd.DataFrame) -> pd.DataFrame:
    """One row per labeller: how many answers, and the first and the last date."""
    by_labeller = sampled(labelled).groupby(LABELLER, sort=True)
    table = by_labeller.agg(
        answers=("key", "nunique"), first=(LABELLED_ON, "min"), last=(LABELLED_ON, "max")
    )
    return table.rename_axis("labeller").reset_index()[COLUMNS]


def labeller_rows(
    labelled: pd.DataFrame, judges: Sequence[Judge], metrics: Metrics
) -> Iterator[dict[str, Any]]:
    """For each measure a row for each pair of labellers who labelled the same answers, and one for
    all of them if there are more; columns as in agreement.csv."""
    own = sampled(labelled)
    for measure in dict.fromkeys(judge.measures for judge in judges):
        judge = next(judge for judge in judges if judge.measures == measure)
        gold = f"gold_{measure}"
        if own.empty or gold not in own:
            continue
        ratings = own.pivot_table(gold, "key", LABELLER, aggfunc="mean")
        about = {"measures": measure, "answers": ANSWERS}
        shared = ratings[ratings.notna().sum(axis=1) >= SMALLEST]
        if ratings.shape[1] > SMALLEST and len(shared):
            row = {"raters": " + ".join(ratings.columns), "n": len(shared)}
            yield about | row | {"krippendorff_alpha": alpha(ratings)}
        for pair in combinations(ratings.columns, 2):
            both = ratings[list(pair)].dropna()
            if both.empty:
                continue
            sides = [flagged(judge, both[name].to_numpy(), metrics) for name in pair]
            row = {"raters": " + ".join(pair), "n": len(both)}
            row |= {"krippendorff_alpha": alpha(both), "cohen_kappa": kappa(*sides)}
            yield about | row
