"""The mean of a logit-normal variable, and its inverse, from tables.

A rate whose log-odds vary normally over questions and seeds has the mean E[expit(eta + tau * z)],
z standard normal. It has no closed form. The integral is a trapezoidal sum, whose error for such a
smooth integrand falls exponentially with the step (Trefethen & Weideman 2014). Tables hold its
logit over eta for each spread tau, so that mean and inverse are interpolations.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
# Log-odds that the tables cover, and their step. Linear interpolation errs by at most 0.002.
REACH, STEP = 40.0, 0.2
# Standard normal deviates of the sum. A spread of 6 moves the mass of small rates by 6 of them.
DEVIATES = np.arange(-13, 13.01, 0.2)
LEAST = 1e-17


def logit_mean(centre: Floats, spread: Floats) -> Floats:
    """Logit of the mean of expit(centre + spread * z), z standard normal, by direct summation.
    Arguments are broadcast against each other."""
    weights = np.exp(-(DEVIATES**2) / 2)
    odds = np.asarray(centre)[..., None] + np.asarray(spread)[..., None] * DEVIATES
    # Both tails are summed, as one minus a mean close to one has no digits left. Of each pair of
    # expit(odds) and expit(-odds), the smaller one is exp(-|odds|) times the larger one.
    ratio = np.exp(-np.abs(odds))
    larger = 1 / (1 + ratio)
    smaller = ratio * larger
    positive = odds > 0
    above, below = np.where(positive, larger, smaller), np.where(positive, smaller, larger)
    mean: Floats = np.log(above @ weights) - np.log(below @ weights)
    return mean


def interpolate(
    table: Floats, rows: NDArray[np.int64], at: Floats, reach: float = REACH, step: float = STEP
) -> Floats:
    """Values of the rows of a table over even points from -reach to reach, continued linearly
    outside it.

    table: shape (rows, points). rows: the row of each value, broadcast against `at`.
    """
    place = (at + reach) / step
    left = np.clip(place.astype(np.int64), 0, table.shape[1] - 2)
    start = rows * table.shape[1] + left
    flat = table.ravel()
    low = flat.take(start)
    value: Floats = low + (flat.take(start + 1) - low) * (place - left)
    return value


@dataclass(frozen=True)
class LogitNormal:
    """Means of logit-normal variables with given spreads (standard deviations of log-odds).

    forward, inverse: shape (spreads, log-odds).
    """

    forward: Floats
    inverse: Floats

    def mean(self, centre: Floats, rows: NDArray[np.int64]) -> Floats:
        """Mean rate at a centre (log-odds). rows: the spread of each, by its place."""
        rate: Floats = expit(interpolate(self.forward, rows, centre))
        return rate

    def centre(self, mean: Floats, rows: NDArray[np.int64]) -> Floats:
        """The centre (log-odds) whose mean rate is this; very far out for 0 and 1."""
        inside = np.clip(mean, LEAST, 1 - LEAST / 2)
        return interpolate(self.inverse, rows, logit(np.minimum(inside, 1 - 1e-16)))


@lru_cache(maxsize=32)
def logit_normal(spreads: tuple[float, ...]) -> LogitNormal:
    """Tables for these spreads. They are kept, as a model's grid of spreads is always the same."""
    places = np.arange(-REACH, REACH + STEP / 2, STEP)
    distinct, rows = np.unique(spreads, return_inverse=True)
    # The mean at minus a centre is one minus that at the centre.
    half = places[places.size // 2 :]
    upper = np.array([logit_mean(half, np.asarray(spread)) for spread in distinct])
    forward = np.concatenate([-upper[:, :0:-1], upper], axis=1)
    inverse = np.array([np.interp(places, row, places) for row in forward])
    return LogitNormal(forward[rows], inverse[rows])
