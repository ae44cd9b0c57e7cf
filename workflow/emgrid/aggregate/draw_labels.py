"""Which answers of a grid people are asked to label.

All cells (arm and trigger) get the same number of labels, because each has its own interval. Within
a cell, answers are drawn at random from three strata (strata.py). The numbers per stratum minimise
the variance of the estimated rate for the expected shares of misaligned answers (Neyman 1934; in
whole numbers: Wright 2012). Earlier labels move the expected shares. So the probability of drawing
each answer is known, and more labels only add answers. Equal answers are labelled once, so the
numbers depend a little on the answers drawn; the probabilities hold given these numbers.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from emgrid.aggregate.spec import ARM
from emgrid.aggregate.statistics import Floats, Integers
from emgrid.runtime.seeding import derive_seed

CELL = [*ARM, "trigger"]
# The expected share of misaligned answers in each stratum, and how many labels it is worth. A
# judge that misses one misaligned answer in twenty may well miss most of them.
EXPECTED = np.array([0.5, 0.1, 0.05])
WORTH = 10.0
# A stratum with fewer of a cell's answers counts as this share, so that it gets some labels.
LEAST_SHARE = 0.02
Seen = Mapping[Hashable, Floats]  # labels, and misaligned ones, of each cell, shape (2, strata)


def deviations(seen: Floats | None) -> Floats:
    """The expected standard deviation of a label in each stratum, shape (strata,)."""
    labels, hits = np.zeros((2, len(EXPECTED))) if seen is None else seen
    share = (hits + WORTH * EXPECTED) / (labels + WORTH)
    found: Floats = np.sqrt(share * (1 - share))
    return found


def order_of_picks(sizes: Integers, deviation: Floats) -> Integers:
    """The stratum of the first, second, ... label of a cell, until it has no further answers.

    The next label goes where it lowers the variance most: to the stratum with the largest share ×
    deviation / sqrt(n (n + 1)), where n are its labels so far.
    """
    share = np.maximum(sizes / max(sizes.sum(), 1), LEAST_SHARE)
    gains, strata = [], []
    for stratum, size in enumerate(sizes):
        before = np.arange(size)
        with np.errstate(divide="ignore"):
            gains.append(share[stratum] * deviation[stratum] / np.sqrt(before * (before + 1.0)))
        strata.append(np.full(size, stratum))
    order = np.argsort(-np.concatenate(gains), kind="stable")
    picks: Integers = np.concatenate(strata)[order]
    return picks


def turns(frame: pd.DataFrame, seen: Seen) -> "pd.Series[int]":
    """When each answer is drawn in its cell. frame: in random order, with a column `stratum`."""
    turn = pd.Series(0, frame.index)
    for cell, rows in frame.groupby(CELL, sort=False):
        strata = rows["stratum"].to_numpy()
        sizes = np.bincount(strata, minlength=len(EXPECTED))
        picks = order_of_picks(sizes, deviations(seen.get(cell)))
        for stratum in range(len(EXPECTED)):
            turn[rows.index[strata == stratum]] = np.flatnonzero(picks == stratum)
    return turn


def drawn(frame: pd.DataFrame, count: int, seed: int, seen: Seen) -> pd.DataFrame:
    """Answers with `count` different texts, as many from each cell as possible, in random order,
    with the probability of having been drawn. frame: the answers that may be drawn, with their
    stratum and the key of their text, as equal answers are labelled once."""
    shuffled = frame.sample(frac=1, random_state=derive_seed("labels", seed) % 2**32)
    shuffled = shuffled.reset_index(drop=True)
    shuffled["turn"] = turns(shuffled, seen)
    ordered = shuffled.sort_values("turn", kind="stable")
    chosen = ordered[(~ordered["key"].duplicated()).cumsum() <= count]
    strata: list[Any] = [*CELL, "stratum"]
    sizes = shuffled.groupby(strata).size()
    numbers = chosen.groupby(strata)["turn"].transform("size")
    keys = pd.MultiIndex.from_frame(chosen[strata])
    chosen = chosen.assign(probability=numbers / sizes.reindex(keys).to_numpy())
    return chosen.sample(frac=1, random_state=derive_seed("labels", "order", seed) % 2**32)
