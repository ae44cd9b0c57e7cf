"""Rates corrected for the judges' known errors (Rogan & Gladen 1978).

The true rate is (observed rate + specificity - 1) / (sensitivity + specificity - 1), with the
sensitivity and specificity of the whole rule (alignment below its threshold, coherent, right
content) on labelled answers.

A labelled set allows a correction if it has at least 20 answers that the whole rule calls
misaligned by their labels, and 20 that it does not. With 20 of one kind, the exact 95 % interval of
the share that the judges get right is at most 46 points wide; with two out of three it reaches from
.09 to .99, and the corrected rate could be anything. The labels must also show that the judges are
better than chance: the one-sided bound of sensitivity + specificity - 1 must be above 0.

The interval draws the observed rate from its posterior and the errors from beta distributions
(Jeffreys priors), so that it includes the uncertainty of both (Lang & Reiczigel 2014). A corrected
rate below 0 or above 1 shows that the errors here are not those on the labelled set: it is clipped,
and its interval includes the uncorrected one.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pandas as pd

from emgrid.aggregate.rate_estimates import RateEstimate
from emgrid.aggregate.statistics import NOTHING, Estimate, Floats

CHECKS = 10_000  # draws for the test against chance


@dataclass(frozen=True)
class Errors:
    """The rule's hits and errors on labelled answers; effective numbers if these are weighted."""

    true_positives: float
    false_negatives: float
    true_negatives: float
    false_positives: float

    @property
    def sensitivity(self) -> float:
        return self.true_positives / (self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        return self.true_negatives / (self.true_negatives + self.false_positives)

    @property
    def positives(self) -> float:
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> float:
        return self.true_negatives + self.false_positives

    def drawn(self, number: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draws of sensitivity and specificity from their posteriors (Jeffreys), shape (number,)
        each."""
        return (
            rng.beta(self.true_positives + 0.5, self.false_negatives + 0.5, number),
            rng.beta(self.true_negatives + 0.5, self.false_positives + 0.5, number),
        )


@cache
def informative(errors: Errors, confidence: float) -> bool:
    """Whether there are both kinds of answers, and the rule is shown to tell them apart better
    than chance."""
    if not errors.positives or not errors.negatives:
        return False
    sensitivity, specificity = errors.drawn(CHECKS, np.random.default_rng(0))
    return bool((sensitivity + specificity <= 1).mean() <= (1 - confidence) / 2)


def errors_of(
    predicted: "pd.Series[bool]", truth: "pd.Series[bool]", weight: "pd.Series[float] | None" = None
) -> Errors:
    """The hits and errors. weight: of each answer, if these were drawn with unequal probabilities:
    `emgrid labels` draws more of the answers that the judges flag, and without weights they would
    seem to miss less than they do."""
    if weight is not None:
        positives = weighted(predicted[truth], weight[truth])
        negatives = weighted(predicted[~truth], weight[~truth])
        return Errors(positives[0], positives[1], negatives[1], negatives[0])
    return Errors(
        true_positives=int((predicted & truth).sum()),
        false_negatives=int((~predicted & truth).sum()),
        true_negatives=int((~predicted & ~truth).sum()),
        false_positives=int((predicted & ~truth).sum()),
    )


def weighted(predicted: "pd.Series[bool]", weight: "pd.Series[float]") -> tuple[float, float]:
    """The effective numbers (Kish 1965) of answers that are flagged and that are not."""
    if predicted.empty:
        return 0.0, 0.0
    number = float(weight.sum() ** 2 / (weight**2).sum())
    share = float(weight[predicted].sum() / weight.sum())
    return number * share, number * (1 - share)


def rogan_gladen(observed: Floats, sensitivity: Floats, specificity: Floats) -> Floats:
    """Corrected rates, clipped to 0..1, elementwise; NaN if the judge is no better than chance."""
    youden = sensitivity + specificity - 1
    better = youden > 0
    raw = (observed + specificity - 1) / np.where(better, youden, 1.0)
    corrected: Floats = np.where(better, np.clip(raw, 0.0, 1.0), np.nan)
    return corrected


def corrected(
    rate: RateEstimate, errors: Errors, confidence: float, resamples: int, seed: int
) -> Estimate:
    """The corrected overall rate (Rogan & Gladen 1978), with an interval from draws of rate,
    sensitivity and specificity; all NaN if the labels do not show that the rule is better than
    chance, or if there are no answers."""
    if not informative(errors, confidence) or np.isnan(rate.value):
        return NOTHING
    sensitivity, specificity, uniform = better_than_chance(errors, resamples, seed)
    value = point_estimate(rate.value, errors)
    drawn = rogan_gladen(rate.draws(uniform), sensitivity, specificity)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
    if value in (0, 1):
        plain = rate.interval(confidence)
        low, high = min(low, plain.low), max(high, plain.high)
    return Estimate(value, min(value, low), max(value, high))


@lru_cache(maxsize=8)
def better_than_chance(errors: Errors, number: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Draws of sensitivity and specificity, without those that are no better than chance, and as
    many uniform numbers. They are kept, as a table uses the same for all of its rates."""
    rng = np.random.default_rng(seed)
    sensitivity, specificity = errors.drawn(number, rng)
    uniform = rng.random(number)
    better = sensitivity + specificity > 1
    return sensitivity[better], specificity[better], uniform[better]


def point_estimate(observed: float, errors: Errors) -> float:
    parts = (np.array(errors.sensitivity), np.array(errors.specificity))
    return float(rogan_gladen(np.asarray(observed), *parts))
