"""The rate of a cell from the judges' values of all its answers and labels of some of them.

Prediction-powered inference (Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453, PPI++) corrects
the mean of predictions by the mean error on labelled answers, with the weight of the predictions
tuned for the smallest variance; Fisch et al. (2024, arXiv:2406.04291) do so by stratum. The judges'
prediction here is the stratum of an answer (strata.py). With so few values, the tuned prediction is
the mean label of each stratum. The estimate is therefore a sum over strata: the stratum's share of
all answers times the share of misaligned answers among its labels. It holds whatever errors the
judges make, because labels are drawn at random within each stratum of each cell.

The papers' interval is normal and has width zero if all labels agree. Here the share of each
stratum has the posterior of a binomial with Jeffreys' prior (Brown, Cai & DasGupta 2001). The prior
is worth half a misaligned answer and half another one in the whole cell, divided over the strata by
their shares: a prior of this size in each stratum would push low rates up. A stratum without labels
has the whole prior, which claims nothing about it. Answers without a label are drawn from the
posterior (beta-binomial), so a cell whose answers are all labelled is known exactly. Labels drawn
with unequal probabilities count as their effective number (Kish 1965; for binomial intervals: Korn
& Graubard 1998).

These draws are of the rate among the answers at hand; ppi_intervals.py adds the uncertainty about
other answers, seeds and questions.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr

from emgrid.aggregate.cell_labels import CellLabels
from emgrid.aggregate.statistics import Floats, Integers

PRIOR = 0.5
# Probabilities at which quantiles of a beta distribution are computed; others are interpolated.
LEVELS = ndtr(np.linspace(-4.5, 4.5, 145))


@dataclass(frozen=True)
class Strata:
    """The strata of a cell that have answers, each of shape (strata,).

    place: in STRATA. share: of the cell's rate, which is a mean over questions of means over seeds;
    together less than 1 if some answers are empty. open: share of the stratum without a label.
    labels, hits: effective numbers of labels and of misaligned ones.
    """

    place: Integers
    share: Floats
    answers: Floats
    open: Floats
    labels: Floats
    hits: Floats

    @property
    def known(self) -> Floats:
        """The share of misaligned answers among the labels of each stratum; one half without any,
        as nothing is known."""
        half = np.full(self.labels.shape, 0.5)
        known: Floats = np.divide(self.hits, self.labels, out=half, where=self.labels > 0)
        return known

    @property
    def rate(self) -> float:
        """The estimated rate."""
        return float(self.share @ self.known)

    @property
    def prior(self) -> Floats:
        """Misaligned answers, and others, that the prior adds to the labels of each stratum."""
        share = np.where(self.labels > 0, self.share / self.share.sum(), 1.0)
        prior: Floats = PRIOR * share
        return prior

    def chances(self, uniform: Floats) -> Floats:
        """The share of misaligned answers in each stratum at uniform random numbers, both of shape
        (draws, strata)."""
        first, second = self.hits + self.prior, self.labels - self.hits + self.prior
        quantiles = betaincinv(first, second, LEVELS[:, None])
        columns = zip(uniform.T, quantiles.T, strict=True)
        drawn: Floats = np.stack([np.interp(at, LEVELS, own) for at, own in columns], axis=1)
        return drawn

    def rates(self, chances: Floats, rng: np.random.Generator) -> Floats:
        """The rate among the answers at hand at each draw of the chances, shape (draws,)."""
        number = np.maximum(np.rint(self.open * self.answers), 0).astype(np.int64)
        others = rng.binomial(number, np.clip(chances, 0, 1)) / np.maximum(number, 1)
        labelled = (1 - self.open) * self.known
        shares = np.where(number > 0, labelled + self.open * others, self.known)
        rates: Floats = shares @ self.share
        return rates


def strata_of_cell(labels: CellLabels) -> Strata:
    """The strata of a cell."""
    trials = labels.trials
    asked = (trials > 0).sum(axis=0)
    questions = max(int((asked > 0).sum()), 1)
    # What an answer counts in a mean over questions of means over seeds.
    each = np.divide(1.0, trials * asked * questions, out=np.zeros_like(trials), where=trials > 0)
    share, answers = (labels.answers * each).sum(axis=(1, 2)), labels.answers.sum(axis=(1, 2))
    place = np.flatnonzero(answers)
    weight, square, weighted = (
        (part * factor).sum(axis=(1, 2))[place]
        for part, factor in (
            (labels.weight, each), (labels.square, each**2), (labels.weighted, each)
        )
    )  # fmt: skip
    labelled = labels.labelled.sum(axis=(1, 2))[place]
    number = np.divide(weight**2, square, out=np.zeros_like(weight), where=square > 0)
    hits = np.divide(weighted, weight, out=np.zeros_like(weight), where=weight > 0)
    return Strata(
        place=place,
        share=share[place],
        answers=answers[place],
        open=1 - np.minimum(labelled / answers[place], 1),
        labels=number,
        hits=np.clip(hits, 0, 1) * number,
    )


def uniforms(rng: np.random.Generator, draws: int, strata: int) -> Floats:
    """Uniform random numbers that are even in each column (Latin hypercube: McKay, Beckman &
    Conover 1979), shape (draws, strata)."""
    even = (np.arange(draws) + 0.5) / draws
    found: Floats = np.stack([rng.permutation(even) for _ in range(strata)], axis=1)
    return found
