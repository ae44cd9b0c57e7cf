"""Rates corrected for the judges' known errors (Rogan & Gladen 1978).

The true rate is (observed rate + specificity - 1) / (sensitivity + specificity - 1), sensitivity
and specificity being those of the whole rule (alignment below its threshold, coherent, right
content) on labelled answers.

A labelled set bears a correction with at least 20 answers that the whole rule calls misaligned in
truth, and 20 that it does not. With 20 of one kind the exact 95 % interval of the share that the
judges get right is at most 46 points wide; of three answers, two found, it reaches from .09 to .99,
and the corrected rate could be anything. It also takes judges that the labels show to tell better
than chance: the one-sided bound of sensitivity + specificity - 1 lies above 0.

The interval draws all three anew from beta distributions (Jeffreys
priors), the observed rate by the number of independent answers that it is worth, so that the
uncertainty of the errors is in it (as Lang & Reiczigel 2014 ask for). A corrected rate below 0 or
above 1 says that the labelled errors are not those made here: it is cut, and its interval takes in
the uncorrected one.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emgrid.aggregate.statistics import (
    NOTHING,
    Counts,
    Estimate,
    Floats,
    mean_over_cells,
    rate,
    worth,
)

CHECKS = 10_000  # draws by which better than chance is shown


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
    def positives(self) -> int:
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        return self.true_negatives + self.false_positives

    def drawn(self, number: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Sensitivities and specificities that go with what was seen."""
        return (
            rng.beta(self.true_positives + 0.5, self.false_negatives + 0.5, number),
            rng.beta(self.true_negatives + 0.5, self.false_positives + 0.5, number),
        )

    def informative(self, confidence: float) -> bool:
        """Whether both kinds of answer were seen, and are shown to be told apart better than by
        chance."""
        if not self.positives or not self.negatives:
            return False
        sensitivity, specificity = self.drawn(CHECKS, np.random.default_rng(0))
        return bool((sensitivity + specificity <= 1).mean() <= (1 - confidence) / 2)


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
    """The corrected overall rate; all NaN where the labels do not show that the rule tells better
    than chance, or nothing was observed."""
    if not errors.informative(confidence) or not counts.trials.sum():
        return NOTHING
    rng = np.random.default_rng(seed)
    sensitivity, specificity = errors.drawn(resamples, rng)
    value = point(counts, errors)
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
