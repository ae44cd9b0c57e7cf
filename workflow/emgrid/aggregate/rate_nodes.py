"""Nodes and weights of the hierarchy of rates, computed once for each set of priors."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr
from scipy.stats import beta, halfnorm

from emgrid.aggregate.grid_distribution import edges_around, split
from emgrid.config.priors import RatePriors

Floats = NDArray[np.float64]
STEP = 0.1  # of log-odds
LOG_ODDS: Floats = np.arange(-130.0, 81.0) * STEP
MEAN_STEP = 0.2
# Quantiles of a half-normal prior at which standard deviations are taken.
SD_LEVELS = np.array([0.04, 0.14, 0.26, 0.38, 0.5, 0.61, 0.71, 0.8, 0.88, 0.94, 0.98, 0.997])
# Shares of questions that are not cold, closer together where few are.
HOT = np.array(
    [1, 0.97, 0.9, 0.8, 0.68, 0.56, 0.44, 0.33, 0.24, 0.17, 0.11, 0.07, 0.04, 0.02, 0.008]
)
# Standard deviations of the shift from the seeds asked to all seeds.
SHIFTS = np.array([1e-3, 0.05, 0.1, 0.15, 0.2, 0.27, 0.35, 0.45, 0.6, 0.8, 1.05, 1.4, 1.9, 2.6])


@dataclass(frozen=True)
class Nodes:
    """Everything about the hierarchy that does not depend on the counts.

    A component is a mean and a standard deviation of the log-odds of hot questions; a node is a
    component with a share of hot questions.

    density: probability of each bin of LOG_ODDS under each component, shape (components, bins).
    hot: shares of hot questions, shape (shares,). log_prior: of nodes, shape (components, shares).
    to_bins: sparse matrix of shape (nodes, bins) that puts the rate of each node on the bins.
    seed_sd, seed_weight: nodes of the standard deviation over seeds, shape (seed nodes,).
    shift: probability of each shift between bins of LOG_ODDS under each of SHIFTS, shape
    (shifts, 2 bins - 1).
    """

    density: Floats
    hot: Floats
    log_prior: Floats
    to_bins: Any
    seed_sd: Floats
    seed_weight: Floats
    shift: Floats


@cache
def nodes_of(priors: RatePriors) -> Nodes:
    """The nodes for a set of priors."""
    middle, sd = priors.question_mean.mean, priors.question_mean.sd
    count = int(np.ceil(4 * sd / MEAN_STEP))
    means = middle + np.arange(-count, count + 1) * MEAN_STEP
    mean_weight = np.exp(-0.5 * ((means - middle) / sd) ** 2)
    sds, sd_weight = half_normal(priors.question_sd.scale)
    hot, hot_weight = hot_shares(priors)
    mean, spread = (each.ravel() for each in np.meshgrid(means, sds, indexing="ij"))
    edges = edges_around(LOG_ODDS, -np.inf, np.inf)
    density = np.diff(ndtr((edges - mean[:, None]) / spread[:, None]), axis=1)
    weight = (mean_weight / mean_weight.sum())[:, None, None] * sd_weight[:, None] * hot_weight
    rates = (density @ expit(LOG_ODDS))[:, None] * hot
    seed_sd, seed_weight = half_normal(priors.seed_sd.scale)
    return Nodes(
        density=density,
        hot=hot,
        log_prior=np.log(weight.reshape(len(mean), len(hot))),
        to_bins=split(logit(rates).ravel(), LOG_ODDS),
        seed_sd=seed_sd,
        seed_weight=seed_weight,
        shift=shifts(),
    )


def half_normal(scale: float) -> tuple[Floats, Floats]:
    """Nodes of a half-normal prior and the probabilities that they stand for."""
    values: Floats = halfnorm.ppf(SD_LEVELS, scale=scale)
    weights: Floats = np.diff(halfnorm.cdf(edges_around(values, 0, np.inf), scale=scale))
    return values, weights


def hot_shares(priors: RatePriors) -> tuple[Floats, Floats]:
    """Nodes of the share of hot questions and the probabilities that they stand for."""
    prior = priors.cold_share
    cold = 1 - HOT
    spread = np.diff(beta.cdf(edges_around(cold, 0, 1), prior.a, prior.b)) * (1 - prior.at_zero)
    weights: Floats = spread + np.where(cold == 0, prior.at_zero, 0)
    known = weights > 0
    return HOT[known], weights[known]


def shifts() -> Floats:
    """Shape (shifts, 2 bins - 1): a normal shift of the log-odds, of which half the variance is the
    mean, as the rate of the seeds asked is right on average on the scale of rates."""
    steps: Floats = np.arange(-len(LOG_ODDS) + 1.0, len(LOG_ODDS)) * STEP
    edges = edges_around(steps, -np.inf, np.inf)
    sd = SHIFTS[:, None]
    probabilities: Floats = np.diff(ndtr((edges - sd**2 / 2) / sd), axis=1)
    return probabilities
