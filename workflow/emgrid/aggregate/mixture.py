"""The posterior of the rates of two cells, as a mixture over the nodes of the model's spreads."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from emgrid.aggregate.distribution import FARTHEST, Distribution, places, tabulated
from emgrid.aggregate.logit_normal import LogitNormal, interpolate
from emgrid.aggregate.mixed_model import Floats, Integers

# Nodes of less weight than this change no quantile that a table holds.
NEGLIGIBLE = 1e-5
# Normal deviates of sums over a centre: to find places, and for probabilities (a trapezoidal sum).
COARSE = np.linspace(-4, 4, 5)
FINE = np.linspace(-3.75, 3.75, 7)
# Standardised centres of the tables of their normal quantiles.
REACH, STEP = 7.0, 0.25
STANDARD = np.arange(-REACH, REACH + STEP / 2, STEP)


def chances(deviates: Floats) -> Floats:
    """Weights of evenly spaced normal deviates, which sum to one."""
    heights = np.exp(-(deviates**2) / 2)
    weights: Floats = heights / heights.sum()
    return weights


def normal_quantiles(share: Floats, deviation: Floats) -> Floats:
    """Normal quantiles of skewed centres at `STANDARD`, shape (2, nodes, points).

    The log density is a parabola plus the log likelihood of a Poisson count, -e^x: exact for zero
    counts at low rates, where a normal centre would reach rates that the answers exclude. share:
    how much of the curvature at the mode is the count's, from -1 (of right answers) to 1, shape (2,
    nodes). deviation: standard deviation at the mode.
    """
    part, deviation = np.abs(share)[..., None], deviation[..., None]
    moved = np.sign(share)[..., None] * STANDARD * deviation
    density = np.exp(
        -(1 - part) * STANDARD**2 / 2 - part * (np.expm1(moved) - moved) / deviation**2
    )
    middle = (density[..., 1:] + density[..., :-1]) / 2
    middle = middle / middle.sum(axis=-1, keepdims=True)
    none = np.zeros_like(middle[..., :1])
    below = np.concatenate([none, np.cumsum(middle, axis=-1)], axis=-1)
    above = np.concatenate([np.cumsum(middle[..., ::-1], axis=-1)[..., ::-1], none], axis=-1)
    quantiles = np.where(below < above, ndtri(below), -ndtri(above))
    found: Floats = np.clip(quantiles, -FARTHEST, FARTHEST) + STANDARD * 1e-9
    return found


@dataclass(frozen=True)
class Mixture:
    """The posterior of two rates at each node: centres of log-odds, whose logit-normal means
    (spreads: rows of `link`) are the rates. Centres are joined by a normal copula.

    weights: shape (nodes,), which sum to one. centres (modes), thirds (negative third derivatives
    of the log likelihood there), rows: shape (2, nodes). covariance: shape (2, 2, nodes).
    """

    weights: Floats
    centres: Floats
    covariance: Floats
    thirds: Floats
    link: LogitNormal
    rows: Integers

    def kept(self) -> "Mixture":
        """The mixture without nodes of negligible weight."""
        keep = self.weights > NEGLIGIBLE
        weights = self.weights[keep] / self.weights[keep].sum()
        arrays = (self.centres, self.covariance, self.thirds)
        centres, covariance, thirds = (each[..., keep] for each in arrays)
        return Mixture(weights, centres, covariance, thirds, self.link, self.rows[:, keep])

    @cached_property
    def deviations(self) -> Floats:
        """Standard deviations of the centres, shape (2, nodes)."""
        found: Floats = np.sqrt(self.covariance[[0, 1], [0, 1]])
        return found

    @cached_property
    def correlation(self) -> Floats:
        found: Floats = self.covariance[0, 1] / self.deviations.prod(axis=0)
        return found

    @cached_property
    def table(self) -> Floats:
        """Normal quantiles of standardised centres, shape (2, nodes, points)."""
        share = np.clip(self.thirds * self.deviations**2, -1, 1)
        return normal_quantiles(share, self.deviations)

    def quantiles(self, cell: int, rates: Floats) -> Floats:
        """The normal quantiles of rates of a cell, shape (..., nodes)."""
        centres = self.link.centre(rates, self.rows[cell])
        standard = (centres - self.centres[cell]) / self.deviations[cell]
        nodes = np.arange(self.weights.size)
        return interpolate(self.table[cell], nodes, standard, REACH, STEP)

    def at(self, cell: int, quantiles: Floats) -> Floats:
        """The rates of a cell at normal quantiles, shape (..., nodes)."""
        table = self.table[cell]
        left = (table[:, 1:-1] < quantiles[..., None]).sum(axis=-1)
        nodes = np.arange(self.weights.size)
        low, high = table[nodes, left], table[nodes, left + 1]
        standard = STANDARD[left] + STEP * (quantiles - low) / (high - low)
        return self.link.mean(
            self.centres[cell] + standard * self.deviations[cell], self.rows[cell]
        )

    def rate(self, cell: int) -> Distribution:
        """The posterior of the rate of one cell."""
        sample = self.at(cell, FINE[:, None])
        weights = chances(FINE)[:, None] * self.weights

        def tail(at: Floats, sign: int) -> Floats:
            found: Floats = ndtr(sign * self.quantiles(cell, at[:, None])) @ self.weights
            return found

        return tabulated(places(sample.ravel(), weights.ravel()), tail, 1.0)

    def rise(self) -> Distribution:
        """The posterior of the rate of cell 1 less that of cell 0."""
        rates = [self.at(cell, FINE[:, None]) for cell in (0, 1)]
        weights = (chances(FINE)[:, None] * self.weights).ravel()
        left = np.sqrt(1 - self.correlation**2)

        def tail(at: Floats, sign: int) -> Floats:
            found = np.empty(at.size)
            # The cell with the larger rate is integrated exactly, the other one by a sum.
            for cell, up, part in ((0, 1, at > 0), (1, -1, at <= 0)):
                other = self.quantiles(1 - cell, rates[cell] + up * at[part, None, None])
                away = (other - self.correlation * FINE[:, None]) / left
                shape = (int(part.sum()), weights.size)
                found[part] = ndtr(sign * up * away).reshape(shape) @ weights
            return found

        return tabulated(self.places(), tail, 1.0)

    def places(self) -> Floats:
        """Values at which to tabulate the rise."""
        plain = COARSE[:, None, None]
        moved = self.correlation * plain + np.sqrt(1 - self.correlation**2) * COARSE[:, None]
        rises = self.at(1, moved) - self.at(0, COARSE[:, None])[:, None]
        weights = chances(COARSE)[:, None, None] * chances(COARSE)[:, None] * self.weights
        return places(rises.ravel(), weights.ravel())
