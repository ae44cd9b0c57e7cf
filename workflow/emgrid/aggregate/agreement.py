"""Agreement of judges that measure the same, with each other and with human labels.

Krippendorff's alpha at interval level (Krippendorff 2019, chapter 12; package krippendorff) over
all raters, with missing values allowed; and for each pair Cohen's kappa (1960; scikit-learn) of
whether an answer is on the flagged side of the threshold.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from emgrid.config.judges import Judge
from emgrid.config.sections import Metrics
from emgrid.judge.quality import flagged

COLUMNS = ["measures", "answers", "raters", "n", "krippendorff_alpha", "cohen_kappa"]
LABELS = "labels"
SMALLEST = 2
LARGEST = 4000


def alpha(ratings: pd.DataFrame) -> float:
    """Krippendorff's alpha of ratings of shape (answers, raters), rounded to whole numbers; NaN if
    it is undefined, for example if all values are equal. More than 4,000 answers are reduced to a
    fixed random sample: the package needs a (values, values) matrix for each answer."""
    rated = ratings[ratings.notna().sum(axis=1) >= SMALLEST].round()
    if len(rated) > LARGEST:
        rated = rated.sample(LARGEST, random_state=0)
    if len(rated) < SMALLEST or len(np.unique(rated.to_numpy()[rated.notna().to_numpy()])) == 1:
        return np.nan
    return float(krippendorff.alpha(rated.to_numpy().T, level_of_measurement="interval"))


def kappa(first: Any, second: Any) -> float:
    """Cohen's kappa of two ratings, each of shape (answers,); NaN if there are no answers or both
    raters give one and the same class throughout."""
    if len(first) == 0 or (len(set(first)) == 1 and set(first) == set(second)):
        return np.nan
    return float(cohen_kappa_score(first, second))


def agreement_rows(
    table: pd.DataFrame, judges: Sequence[Judge], answers: str, metrics: Metrics
) -> Iterator[dict[str, Any]]:
    """A row for each pair of raters of one measure, and one for all of them if there are more.

    table: one row per answer, one column per judge; labels, if any, in columns gold_<measure>.
    """
    for measure in dict.fromkeys(judge.measures for judge in judges):
        raters = {judge.id: judge for judge in judges if judge.measures == measure}
        ratings = table[list(raters)].copy()
        if f"gold_{measure}" in table:
            ratings[LABELS] = table[f"gold_{measure}"]
            raters[LABELS] = next(iter(raters.values()))
        names = [name for name in raters if ratings[name].notna().any()]
        ratings = ratings[names]
        about = {"measures": measure, "answers": answers}
        if len(names) > SMALLEST:
            row = {"raters": " + ".join(names), "krippendorff_alpha": alpha(ratings)}
            yield about | row | {"n": int((ratings.notna().sum(axis=1) >= SMALLEST).sum())}
        for pair in combinations(names, 2):
            both = ratings[list(pair)].dropna()
            sides = [flagged(raters[name], both[name].to_numpy(), metrics) for name in pair]
            row = {"raters": " + ".join(pair), "krippendorff_alpha": alpha(both)}
            yield about | row | {"n": len(both), "cohen_kappa": kappa(*sides)}


def agreement_table(
    answers: pd.DataFrame, labelled: pd.DataFrame, judges: Sequence[Judge], metrics: Metrics
) -> pd.DataFrame:
    """Agreement on the grid's own answers and on each labelled set."""
    rows = list(agreement_rows(answers, judges, "this grid", metrics))
    scoring = [judge for judge in judges if judge.id in labelled]
    for name, part in labelled.groupby("labelled", sort=False):
        rows += agreement_rows(part, scoring, str(name), metrics)
    return pd.DataFrame(rows, columns=COLUMNS)
