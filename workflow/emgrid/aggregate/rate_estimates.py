"""Rates of cells with their intervals, many at a time, from the hierarchy with a spike at zero.

The rate of a cell is the mean over questions of the mean over seeds. Its interval is that of
rate_posterior.py. The interval of a single question covers seeds and answers, and no other
questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emgrid.aggregate.rate_posterior import Rates, rate_posteriors
from emgrid.aggregate.statistics import (
    NOTHING,
    Counts,
    Estimate,
    Floats,
    contents,
    mean_over_cells,
)
from emgrid.config.priors import RatePriors


@dataclass(frozen=True)
class RateEstimate:
    """The observed rate (a fraction), and its posterior: the single cell of `posterior`."""

    value: float
    posterior: Rates

    def interval(self, confidence: float) -> Estimate:
        """The rate with its interval, which always includes the observed rate; all NaN without any
        trial."""
        if np.isnan(self.value):
            return NOTHING
        low, high = (float(bound[0]) for bound in self.posterior.interval(confidence))
        return Estimate(self.value, min(low, self.value), max(high, self.value))

    def draws(self, uniform: Floats) -> Floats:
        """Draws from the posterior, one for each uniform random number."""
        below = np.concatenate([[0.0], np.cumsum(self.posterior.mass[0])])
        drawn: Floats = np.interp(uniform * below[-1], below, self.posterior.edges)
        return drawn


def rate_estimates(
    cells: Sequence[Counts], trained: Sequence[bool], fixed: bool, priors: RatePriors
) -> list[RateEstimate]:
    """The estimates of all cells; equal counts are computed once.

    trained: whether the seeds of each cell are different models. fixed: over the questions that
    were asked alone, which is always so for a single question.
    """
    values = [float(mean_over_cells(cell.rates())) for cell in cells]
    keys = [
        (is_trained, fixed or cell.known().sum() < 2, *contents(cell))
        for cell, is_trained in zip(cells, trained, strict=True)
    ]
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    posteriors: dict[object, Rates] = {}
    for group in dict.fromkeys(key[:2] for key in places):
        group_keys = [key for key in places if key[:2] == group]
        rates = rate_posteriors([cells[places[key]] for key in group_keys], priors, *group)
        posteriors |= {key: rates.of([place]) for place, key in enumerate(group_keys)}
    return [RateEstimate(value, posteriors[key]) for value, key in zip(values, keys, strict=True)]
