"""The rate of a cell from a hierarchy with a spike at zero: intervals and one-sided bounds.

A question is *cold* with a probability: its rate is zero. The log-odds of the other, *hot*
questions are normal. Answers to a question are binomial. The posterior of the rate over all
questions of which these are a sample is summed over a grid of the three parameters. With the spike,
questions without any misaligned answer are no evidence about the others: eight of them may well
have missed one hot question in fifteen. Without it, intervals of such data are far too narrow
(zero-inflated models: Lambert 1992; Hall 2000, with random effects).

Several seeds: the answers of all seeds to a question are pooled, and the rate of the seeds asked is
shifted on the log-odds by a normal error to that of all seeds. Its standard deviation is integrated
over its prior and the stratified chi-squared statistic of the seeds (questions are strata; Cochran
1954, Mantel & Haenszel 1959), which conditions on the number of misaligned answers to each
question. What seeds do to single questions widens both the spread over questions and that over
seeds. With a single seed only the prior says how far others may be. A model that was not trained
has no seeds to differ.

Cells are computed at once, from tables over the distinct pairs of successes and trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import betainc, expit, log_expit

from emgrid.aggregate.grid_distribution import Distributions, edges_around, split
from emgrid.aggregate.rate_nodes import LOG_ODDS, SHIFTS, Nodes, nodes_of
from emgrid.aggregate.statistics import Counts
from emgrid.config.priors import RatePriors

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
CHUNK = 128  # cells that are computed at a time
# A question counts as at most so many answers × rate × (1 - rate): its log-odds are then known to
# 0.05, far better than any spread over questions, and the grid of log-odds stays fine enough.
MOST_INFORMATION = 400.0
LEAST = 1e-300
EDGES: Floats = expit(edges_around(LOG_ODDS, -np.inf, np.inf))


@dataclass(frozen=True)
class Rates(Distributions):
    """Posteriors of rates (fractions), one for each cell.

    none, every: whether no answer, or every answer, of a cell is misaligned, shape (cells,).
    """

    none: Flags
    every: Flags

    def of(self, cells: Any) -> "Rates":
        return Rates(self.edges, self.mass[cells], self.none[cells], self.every[cells])

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Two-sided bounds with equal tails, both of shape (cells,). The lower one of no success
        is 0, the upper one of nothing but successes 1."""
        low, high = super().interval(confidence)
        return np.where(self.none, 0, low), np.where(self.every, 1, high)

    def upper(self, confidence: float) -> Floats:
        """One-sided upper bounds, shape (cells,); 1 for nothing but successes."""
        return np.where(self.every, 1, super().upper(confidence))

    def lower(self, confidence: float) -> Floats:
        """One-sided lower bounds, shape (cells,); 0 for no success."""
        return np.where(self.none, 0, super().lower(confidence))


@dataclass(frozen=True)
class Pooled:
    """Counts of some cells, padded with questions and seeds without trials.

    successes, trials: pooled over seeds, shape (cells, questions). shift: probability of each of
    SHIFTS, shape (cells, shifts).
    """

    successes: Floats
    trials: Floats
    shift: Floats


def rate_posteriors(
    cells: Sequence[Counts], priors: RatePriors, trained: bool = True, fixed: bool = False
) -> Rates:
    """Posteriors of the overall rate of each cell; NaN for a cell without any trial.

    cells: counts of any numbers of seeds and questions; a seed or question may have no trial.
    trained: whether the seeds are models that differ; else they are samples of one model. fixed:
    the rate is the mean over the questions that were asked, not over all of their kind.
    """
    nodes = nodes_of(priors)
    mass = np.full((len(cells), len(LOG_ODDS)), np.nan)
    known = np.array([bool(cell.trials.any()) for cell in cells], dtype=bool)
    for chosen in chunks(cells, np.flatnonzero(known)):
        pooled = pool([cells[cell] for cell in chosen], nodes, trained)
        asked = fixed_mass(pooled) if fixed else population_mass(pooled, nodes)
        mass[chosen] = shifted(asked, pooled.shift @ nodes.shift)
    hits = np.array([cell.successes.sum() for cell in cells], dtype=np.int64)
    asked = np.array([cell.trials.sum() for cell in cells], dtype=np.int64)
    return Rates(EDGES, mass, known & (hits == 0), known & (hits == asked))


def chunks(cells: Sequence[Counts], known: Integers) -> Iterator[Integers]:
    """Indices of cells that are computed at once, those of one shape together."""
    shapes = [cells[cell].trials.shape for cell in known]
    order = np.array(sorted(range(len(known)), key=shapes.__getitem__), dtype=np.int64)
    for start in range(0, len(order), CHUNK):
        yield known[order[start : start + CHUNK]]


def pool(cells: Sequence[Counts], nodes: Nodes, trained: bool) -> Pooled:
    size = np.max([cell.trials.shape for cell in cells], axis=0)
    successes, trials = np.zeros((2, len(cells), *size))
    for place, cell in enumerate(cells):
        seeds, questions = cell.trials.shape
        successes[place, :seeds, :questions] = cell.successes
        trials[place, :seeds, :questions] = cell.trials
    if trained:
        shift = seed_shift(successes, trials, nodes)
    else:
        shift = np.zeros((len(cells), len(SHIFTS)))
        shift[:, 0] = 1
    return Pooled(successes.sum(axis=1), trials.sum(axis=1), shift)


def seed_shift(successes: Floats, trials: Floats, nodes: Nodes) -> Floats:
    """How far the seeds asked may be from all seeds: probabilities of SHIFTS, shape (cells,
    shifts). successes, trials: shape (cells, seeds, questions)."""
    hits, asked = successes.sum(axis=1), trials.sum(axis=1)
    part = np.divide(trials, asked[:, None], out=np.zeros_like(trials), where=trials > 0)
    weights = part.sum(axis=2) / (asked > 0).sum(axis=1)[:, None]
    effective = 1 / (weights**2).sum(axis=1)  # seeds, if all had been asked as often
    spread = (hits * (asked - hits) / np.maximum(asked - 1, 1))[:, None]
    variance = (part * (1 - part) * spread).sum(axis=2)
    seeds = np.maximum((variance > 0).sum(axis=1), 1)
    surplus = (successes - part * hits[:, None]).sum(axis=2)
    squares = np.divide(surplus**2, variance, out=np.zeros_like(variance), where=variance > 0)
    statistic = squares.sum(axis=1) * (1 - 1 / seeds)
    information = variance.sum(axis=1) / np.maximum(seeds - 1, 1)
    inflation = 1 + nodes.seed_sd**2 * information[:, None]
    fit = -(seeds - 1)[:, None] / 2 * np.log(inflation) - statistic[:, None] / 2 / inflation
    weight = np.exp(fit - fit.max(axis=1, keepdims=True)) * nodes.seed_weight
    sd = np.sqrt(np.log1p(np.expm1(nodes.seed_sd**2) / effective[:, None]))
    shares = split(sd.ravel(), SHIFTS).multiply(weight.reshape(-1, 1)).toarray()
    total: Floats = shares.reshape(*sd.shape, len(SHIFTS)).sum(axis=1)
    return np.asarray(total / total.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Tables:
    """Likelihoods of distinct pairs of successes and trials under each component.

    place: of each question in the tables, shape (cells, questions). cold: whether a pair has no
    success, shape (pairs,). hot: likelihood of a hot question under each component, relative to
    its largest value at any rate, shape (pairs, components).
    """

    place: Integers
    cold: Flags
    hot: Floats


def tables(pooled: Pooled, nodes: Nodes) -> Tables:
    pairs, place = np.unique(
        np.stack([pooled.successes.ravel(), pooled.trials.ravel()]), axis=1, return_inverse=True
    )
    hits, trials = pairs
    rate = (hits + 0.5) / (trials + 1)
    scale = np.minimum(1, MOST_INFORMATION / (trials * rate * (1 - rate) + LEAST))
    others = (trials - hits) * scale
    log = np.outer(hits * scale, log_expit(LOG_ODDS)) + np.outer(others, log_expit(-LOG_ODDS))
    likelihood = np.exp(log - log.max(axis=1, keepdims=True))
    hot = np.maximum(likelihood @ nodes.density.T, LEAST)
    return Tables(place.reshape(pooled.trials.shape), hits == 0, hot)


def counted(place: Integers, pairs: int) -> Floats:
    """How many questions of each cell have each pair, shape (cells, pairs)."""
    counts = np.zeros((len(place), pairs))
    np.add.at(counts, (np.arange(len(place))[:, None], place), 1)
    return counts


def node_weights(found: Tables, nodes: Nodes) -> Floats:
    """Posterior probability of each node, shape (cells, components, shares)."""
    counts = counted(found.place, len(found.cold))
    warm = ~found.cold
    log = (counts[:, warm] @ np.log(found.hot[warm]))[:, :, None]
    log = log + counts[:, warm].sum(axis=1)[:, None, None] * np.log(nodes.hot) + nodes.log_prior
    mixed = np.log(np.maximum(1 - nodes.hot + found.hot[found.cold][:, :, None] * nodes.hot, LEAST))
    log += np.tensordot(counts[:, found.cold], mixed, axes=1)
    weights: Floats = np.exp(log - log.max(axis=(1, 2), keepdims=True))
    return np.asarray(weights / weights.sum(axis=(1, 2), keepdims=True))


def population_mass(pooled: Pooled, nodes: Nodes) -> Floats:
    """Posterior of the rate of the seeds asked over all questions, shape (cells, bins)."""
    weights = node_weights(tables(pooled, nodes), nodes)
    mass: Floats = weights.reshape(len(weights), -1) @ nodes.to_bins
    return mass


def fixed_mass(pooled: Pooled) -> Floats:
    """Posterior of the mean rate of the questions that were asked, shape (cells, bins).

    Nothing is borrowed from other questions: each rate has its own beta distribution, and the mean
    over questions a beta distribution with their mean and variance. The prior is one misaligned and
    one other answer, spread evenly over the questions, so that the upper bound of no success is
    that of Clopper & Pearson (1934).
    """
    asked = pooled.trials > 0
    number = asked.sum(axis=1, keepdims=True)
    first = pooled.successes + 1 / number
    whole = pooled.trials + 2 / number
    means = np.where(asked, first / whole, 0) / number
    variances = np.where(asked, first * (whole - first) / whole**2 / (whole + 1), 0) / number**2
    mean = means.sum(axis=1, keepdims=True)
    size = mean * (1 - mean) / variances.sum(axis=1, keepdims=True) - 1
    mass: Floats = np.diff(betainc(mean * size, (1 - mean) * size, EDGES), axis=1)
    return mass


def shifted(mass: Floats, shift: Floats) -> Floats:
    """Distributions over bins after a random shift; mass beyond the ends goes to the last bins.

    mass: shape (cells, bins). shift: shape (cells, 2 bins - 1).
    """
    bins = mass.shape[1]
    size = next_fast_len(3 * bins, real=True)
    product = irfft(rfft(mass, size) * rfft(shift, size), size)
    whole = np.maximum(product[:, : 3 * bins - 2], 0)
    result = whole[:, bins - 1 : 2 * bins - 1].copy()
    result[:, 0] += whole[:, : bins - 1].sum(axis=1)
    result[:, -1] += whole[:, 2 * bins - 1 :].sum(axis=1)
    total: Floats = result / result.sum(axis=1, keepdims=True)
    return total
