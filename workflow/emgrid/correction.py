"""Rates corrected for the judges' known errors (Rogan & Gladen 1978).

The true rate is (observed rate + specificity - 1) / (sensitivity + specificity - 1), sensitivity
and specificity being those of the whole rule (alignment below its threshold, coherent, right
content) on labelled answers. The interval draws all three anew from beta distributions (Jeffreys
priors), the observed rate by the number of independent answers that it is worth, so that the
uncertainty of the errors is in it (as Lang & Reiczigel 2014 ask for). A corrected rate below 0 or
above 1 says that the labelled errors are not those made here: it is cut, and its interval takes in
the uncorrected one.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emgrid.statistics import NOTHING, Counts, Estimate, Floats, mean_over_cells, rate, worth


@dataclass(frozen=True)
class Errors:
    """How the rule did on labelled answers."""

    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int

    @property
    def sensitivity(self) -> float:
        return self.true_positives / (self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        return self.true_negatives / (self.true_negatives + self.false_positives)

    @property
    def informative(self) -> bool:
        """Whether both kinds of answer were seen, and told apart better than by chance."""
        seen = self.true_positives + self.false_negatives and self.true_negatives
        return bool(seen) and self.sensitivity + self.specificity > 1


def errors_of(predicted: "pd.Series[bool]", truth: "pd.Series[bool]") -> Errors:
    return Errors(
        true_positives=int((predicted & truth).sum()),
        false_negatives=int((~predicted & truth).sum()),
        true_negatives=int((~predicted & ~truth).sum()),
        false_positives=int((predicted & ~truth).sum()),
    )


def rogan_gladen(observed: Floats, sensitivity: Floats, specificity: Floats) -> Floats:
    """Corrected rates, cut to 0..1; NaN where the judge is no better than chance."""
    youden = sensitivity + specificity - 1
    better = youden > 0
    raw = (observed + specificity - 1) / np.where(better, youden, 1.0)
    corrected: Floats = np.where(better, np.clip(raw, 0.0, 1.0), np.nan)
    return corrected


def corrected(
    counts: Counts,
    errors: Errors,
    confidence: float,
    resamples: int,
    seed: int,
    fixed: bool = False,
) -> Estimate:
    """The corrected overall rate; all NaN where the rule cannot tell, or nothing was observed."""
    if not errors.informative or not counts.trials.sum():
        return NOTHING
    rng = np.random.default_rng(seed)
    sensitivity = rng.beta(errors.true_positives + 0.5, errors.false_negatives + 0.5, resamples)
    specificity = rng.beta(errors.true_negatives + 0.5, errors.false_positives + 0.5, resamples)
    value = point(counts, errors)
    if (sensitivity + specificity <= 1).mean() > (1 - confidence) / 2:
        return Estimate(value, 0.0, 1.0)  # the judge may be no better than chance
    number = worth(counts, confidence, resamples, seed, fixed)
    share = mean_over_cells(counts.rates())
    observed = rng.beta(share * number + 0.5, (1 - share) * number + 0.5, resamples)
    drawn = rogan_gladen(observed, sensitivity, specificity)
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail]).tolist()
    if value in (0, 1):
        plain = rate(counts, confidence, resamples, seed, fixed)
        low, high = min(low, plain.low), max(high, plain.high)
    return Estimate(value, min(value, low), max(value, high))


def point(counts: Counts, errors: Errors) -> float:
    observed = mean_over_cells(counts.rates())
    parts = (np.array(errors.sensitivity), np.array(errors.specificity))
    return float(rogan_gladen(np.asarray(observed), *parts))
