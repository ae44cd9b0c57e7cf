"""The posterior of a rate or of a difference of rates, as a table.

A table holds values and, at each, the normal quantile of the cumulative probability. The relation
between the two is smooth and close to a line, so that a few dozen points and interpolation give
probabilities and quantiles far into the tails.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
# Standard normal quantiles of the points of a table, and the weights of the sum over them that
# approximates a mean (the trapezoidal rule).
LEVELS = np.linspace(-5.4, 5.4, 37)
WEIGHTS = np.exp(-(LEVELS**2) / 2) / np.exp(-(LEVELS**2) / 2).sum()
FARTHEST = 8.0


@dataclass(frozen=True)
class Distribution:
    """A continuous distribution: increasing values and the normal quantiles of their cumulative
    probabilities, both of shape (points,). bound: all values are between its negative and it."""

    values: Floats
    levels: Floats
    bound: float = 1.0

    def level(self, value: Floats | float) -> Floats:
        """The normal quantile of the cumulative probability of values."""
        levels: Floats = along(self.values, self.levels, value)
        return levels

    def below(self, value: float) -> float:
        """The probability of a value of at most this."""
        return float(ndtr(self.level(value)))

    def above(self, value: float) -> float:
        return float(ndtr(-self.level(value)))

    def at(self, level: Floats | float) -> Floats:
        """The values at normal quantiles."""
        values: Floats = np.clip(along(self.levels, self.values, level), -self.bound, self.bound)
        return values

    def quantile(self, probability: float) -> float:
        return float(self.at(float(ndtri(probability))))

    def interval(self, confidence: float) -> tuple[float, float]:
        """The equal-tailed interval."""
        return self.quantile((1 - confidence) / 2), self.quantile((1 + confidence) / 2)

    @property
    def mean(self) -> float:
        return float(WEIGHTS @ self.at(LEVELS))

    @property
    def error(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(WEIGHTS @ (self.at(LEVELS) - self.mean) ** 2))

    def minus(self, other: "Distribution") -> "Distribution":
        """The distribution of the difference of two independent values."""
        apart = other.at(LEVELS)
        own = (self.at(LEVELS)[:, None] - apart).ravel()
        values = places(own, np.outer(WEIGHTS, WEIGHTS).ravel())

        def level(at: Floats, sign: int) -> Floats:
            tails: Floats = ndtr(sign * self.level(at[:, None] + apart)) @ WEIGHTS
            return tails

        return tabulated(values, level, self.bound + other.bound)


def along(places: Floats, heights: Floats, at: Floats | float) -> Floats:
    """Linear interpolation, continued beyond the ends with the slope of the last eighth."""
    at = np.asarray(at, dtype=float)
    far = max(places.size // 8, 1)
    ahead = (heights[-1] - heights[-1 - far]) / (places[-1] - places[-1 - far])
    behind = (heights[far] - heights[0]) / (places[far] - places[0])
    inside = np.interp(at, places, heights)
    beyond = np.maximum(at - places[-1], 0) * ahead + np.minimum(at - places[0], 0) * behind
    found: Floats = inside + beyond
    return found


def places(values: Floats, weights: Floats) -> Floats:
    """Distinct values at about `LEVELS` of a weighted sample, and zero if it is among them."""
    order = np.argsort(values)
    sorted_, weights = values[order], weights[order]
    below = np.cumsum(weights) - weights / 2
    found: Floats = np.interp(ndtr(LEVELS), below / weights.sum(), sorted_)
    zero = [0.0] if found[0] < 0 < found[-1] else []
    return np.unique(np.append(found, zero))


def tabulated(values: Floats, tail: Callable[[Floats, int], Floats], bound: float) -> Distribution:
    """The table at increasing values. tail: the probability of at most (1) or at least (-1) each of
    some values; each is asked for the tail on its own side."""
    half = values.size // 2
    levels = np.concatenate([ndtri(tail(values[:half], 1)), -ndtri(tail(values[half:], -1))])
    levels = np.clip(levels, -FARTHEST, FARTHEST)
    rising = np.concatenate([[True], levels[1:] > np.maximum.accumulate(levels)[:-1]])
    return Distribution(values[rising], levels[rising], bound)
