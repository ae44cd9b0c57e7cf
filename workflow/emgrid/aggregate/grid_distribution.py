"""Distributions on a grid of values, many at a time: tails, quantiles and differences."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CHUNK = 64  # distributions whose pairs of values are in memory at a time
STEP = 0.05  # of the grid of differences, on the scale of asinh(difference / FINEST)
FINEST = 1e-3


@dataclass(frozen=True)
class Distributions:
    """Distributions over a grid, one for each cell.

    edges: sorted ends of the bins, shape (bins + 1,), in the unit of the values (fractions). mass:
    probability of each bin, shape (cells, bins), which is spread evenly over the bin; NaN for a
    cell of which nothing is known.
    """

    edges: Floats
    mass: Floats

    def __len__(self) -> int:
        return len(self.mass)

    def of(self, cells: Any) -> "Distributions":
        """The distributions of these cells: indices or booleans, shape (cells,)."""
        return Distributions(self.edges, self.mass[cells])

    @property
    def values(self) -> Floats:
        """Middles of the bins, shape (bins,)."""
        middles: Floats = (self.edges[1:] + self.edges[:-1]) / 2
        return middles

    def mean(self) -> Floats:
        """Shape (cells,)."""
        mean: Floats = self.mass @ self.values
        return mean

    def below(self, value: float) -> Floats:
        """Probability of less than `value`, shape (cells,)."""
        width = np.diff(self.edges)
        share = np.clip((value - self.edges[:-1]) / width, 0, 1)
        below: Floats = self.mass @ share
        return below

    def quantile(self, probability: float) -> Floats:
        """Shape (cells,)."""
        total = np.cumsum(self.mass, axis=1)
        rows = np.arange(len(total))
        place = np.minimum((total < probability).sum(axis=1), total.shape[1] - 1)
        inside = self.mass[rows, place]
        share = (probability - (total[rows, place] - inside)) / np.maximum(inside, 1e-300)
        low, high = self.edges[place], self.edges[place + 1]
        quantile: Floats = low + np.clip(share, 0, 1) * (high - low)
        return np.where(np.isnan(total[:, -1]), np.nan, quantile)

    def upper(self, confidence: float) -> Floats:
        """One-sided upper bounds, shape (cells,)."""
        return self.quantile(confidence)

    def lower(self, confidence: float) -> Floats:
        """One-sided lower bounds, shape (cells,)."""
        return self.quantile(1 - confidence)

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Two-sided bounds with equal tails, both of shape (cells,)."""
        tail = (1 - confidence) / 2
        return self.quantile(tail), self.quantile(1 - tail)

    def minus(self, other: "Distributions") -> "Distributions":
        """Distributions of the difference of independent values.

        other: of as many cells, or of a single one, which is taken from each. Mass of a difference
        between two bins is split so that the mean is kept.
        """
        if len(other) not in (1, len(self)):
            raise ValueError(f"{len(self)} distributions minus {len(other)}")
        edges, bins = pair_bins(self.edges.tobytes(), other.edges.tobytes())
        parts = []
        for start in range(0, len(self), CHUNK):
            ours = self.mass[start : start + CHUNK]
            theirs = other.mass if len(other) == 1 else other.mass[start : start + CHUNK]
            # Cells come last, so that the sparse product needs no copy.
            pairs = ours.T[:, None] * theirs.T[None]
            parts.append((bins @ pairs.reshape(-1, len(ours))).T)
        empty = np.empty((0, len(edges) - 1))
        return Distributions(edges, np.concatenate([*parts, empty]))


def split(values: Floats, grid: Floats) -> Any:
    """Sparse matrix of shape (values, grid) that shares each value out between its neighbours on a
    sorted grid so that the mean is kept; values outside go to the ends."""
    inside = np.clip(values, grid[0], grid[-1])
    left = np.clip(np.searchsorted(grid, inside, side="right") - 1, 0, len(grid) - 2)
    share = (inside - grid[left]) / (grid[left + 1] - grid[left])
    rows = np.arange(len(values))
    entries = (np.concatenate([1 - share, share]), (np.tile(rows, 2), np.append(left, left + 1)))
    return sparse.csr_matrix(entries, shape=(len(values), len(grid)))


def edges_around(grid: Floats, low: float, high: float) -> Floats:
    """Ends of bins around the values of a sorted grid, of which the outer ones are low and high."""
    return np.concatenate([[low], (grid[1:] + grid[:-1]) / 2, [high]])


@cache
def pair_bins(ours: bytes, theirs: bytes) -> tuple[Floats, Any]:
    """Edges of the bins of a difference, and the sparse matrix of shape (bins, pairs) that shares
    the differences of all pairs out. ours, theirs: edges of the two grids, as bytes."""
    first, second = (np.frombuffer(each, dtype=np.float64) for each in (ours, theirs))
    most = max(first[-1] - second[0], second[-1] - first[0])
    steps = int(np.ceil(np.arcsinh(most / FINEST) / STEP))
    grid = FINEST * np.sinh(np.arange(-steps, steps + 1) * STEP)
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in (first, second)]
    differences = (middles[0][:, None] - middles[1][None, :]).ravel()
    return edges_around(grid, grid[0], grid[-1]), split(differences, grid).T.tocsr()
