"""Contrasts and rates of counts that a test states."""

from collections.abc import Sequence

import numpy as np
from emgrid.aggregate.estimates import Comparison, Contrast, Side, estimate
from emgrid.aggregate.rate_estimates import RateEstimate, rate_estimates
from emgrid.aggregate.statistics import Counts
from emgrid.config.priors import USUAL, prior_sets

Table = Sequence[Sequence[int]]  # of shape (seeds, questions)


def counted(successes: Table, trials: int) -> Counts:
    """Counts with the same number of trials in each cell."""
    array = np.array(successes)
    return Counts(array, np.full(array.shape, trials))


def side(counts: Counts, name: str = "arm", seeds: Sequence[int] | None = None) -> Side:
    """A cell of an arm; `base` is not trained."""
    numbers = tuple(range(counts.trials.shape[0])) if seeds is None else tuple(seeds)
    return Side(counts, numbers, ("model", name, "1"), trained=name != "base")


def compare(*sides: Side, fixed: bool = False, confidence: float = 0.95) -> Contrast:
    """A cell less another one; with four, less the change of the base model: its cell under the
    trigger, then without."""
    return compare_all([sides], fixed, confidence)[0]


def compare_all(
    comparisons: Sequence[Sequence[Side]], fixed: bool = False, confidence: float = 0.95
) -> list[Contrast]:
    """Several contrasts at once, which takes less time than one by one."""
    compared = [
        Comparison(
            tuple(sides), int(np.logical_and.reduce([each.counts.known() for each in sides]).sum())
        )
        for sides in comparisons
    ]
    priors = prior_sets()[USUAL]
    return estimate(compared, [True] * len(compared), confidence, fixed, priors)


def rate(counts: Counts, fixed: bool = False, trained: bool = True) -> RateEstimate:
    """The rate of one cell."""
    (found,) = rate_estimates([counts], [trained], fixed, prior_sets()[USUAL].rates)
    return found
