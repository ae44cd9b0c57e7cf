"""Rates and contrasts with intervals that know about seeds and questions.

Counts come as arrays of shape (seeds, questions). The overall rate is the mean over questions of
the mean over seeds. Its interval resamples seeds, then questions, then answers (a hierarchical
percentile bootstrap, Davison & Hinkley 1997, section 3.8). With few clusters, or with zero
successes, that alone would be too narrow, so a rate's interval is never narrower than the exact
binomial one (Clopper & Pearson 1934) of the pooled counts.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EXACT_UP_TO = 2**13


def share(successes: Integers, trials: Integers) -> Floats:
    """successes / trials, NaN where there is no trial."""
    empty: Floats = np.full(trials.shape, np.nan)
    quotient: Floats = np.divide(successes, trials, out=empty, where=trials > 0)
    return quotient


@dataclass(frozen=True)
class Counts:
    """Successes and trials, both of shape (seeds, questions); a cell may have no trial."""

    successes: Integers
    trials: Integers

    def rates(self) -> Floats:
        """Rate of each cell, NaN where there is no trial."""
        return share(self.successes, self.trials)


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Term:
    """One rate of a contrast. Terms of one arm share the draw of seeds."""

    sign: int
    counts: Counts
    arm: str


def mean_over_cells(rates: Floats) -> Floats:
    """Mean over questions (last axis) of the mean over seeds; cells without trials are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a question nobody answered is NaN
        mean: Floats = np.nanmean(np.nanmean(rates, axis=-2), axis=-1)
    return mean


def redraw(
    counts: Counts, seeds: Integers, questions: Integers, rng: np.random.Generator
) -> Floats:
    """Rates of resampled cells, shape (resamples, seeds, questions), answers drawn anew."""
    cell = (seeds[:, :, None], questions[:, None, :])
    trials = counts.trials[cell]
    rates = np.nan_to_num(counts.rates())[cell]
    drawn = rng.binomial(trials, rates)
    return share(drawn, trials)


def bootstrap(terms: Sequence[Term], resamples: int, seed: int) -> Floats:
    """Resampled values of the signed sum of the terms' overall rates."""
    rng = np.random.default_rng(seed)
    n_questions = terms[0].counts.trials.shape[1]
    questions = rng.integers(n_questions, size=(resamples, n_questions))
    seeds: dict[str, Integers] = {}
    total = np.zeros(resamples)
    for term in terms:
        n_seeds = term.counts.trials.shape[0]
        if term.arm not in seeds:
            seeds[term.arm] = rng.integers(n_seeds, size=(resamples, n_seeds))
        drawn = redraw(term.counts, seeds[term.arm], questions, rng)
        total += term.sign * mean_over_cells(drawn)
    return total


def percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.nan, np.nan
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def rate(counts: Counts, confidence: float, resamples: int, seed: int) -> Estimate:
    """Overall rate with its interval; all NaN where there is no trial at all."""
    trials, successes = int(counts.trials.sum()), int(counts.successes.sum())
    if trials == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(mean_over_cells(counts.rates()))
    low, high = percentiles(bootstrap([Term(1, counts, "")], resamples, seed), confidence)
    exact_low, exact_high = proportion_confint(successes, trials, 1 - confidence, method="beta")
    return Estimate(value, min(low, float(exact_low)), max(high, float(exact_high)))


def contrast(
    terms: Sequence[Term], confidence: float, resamples: int, seed: int
) -> tuple[Estimate, float]:
    """A signed sum of rates over the same questions, and its two-sided p-value."""
    rates = [term.sign * np.nanmean(term.counts.rates(), axis=0) for term in terms]
    by_question = np.sum(rates, axis=0)
    low, high = percentiles(bootstrap(terms, resamples, seed), confidence)
    return Estimate(float(np.nanmean(by_question)), low, high), sign_flip_p(by_question, seed)


def sign_flip_p(differences: Floats, seed: int) -> float:
    """Two-sided p of the mean difference by flipping signs of questions, the unit of repetition.

    Exact up to 12 questions; k questions can give no p below 2 / 2**k.
    """
    finite = differences[np.isfinite(differences)]
    if finite.size < 2 or not finite.any():
        return 1.0
    result = permutation_test(
        (finite,),
        np.mean,
        permutation_type="samples",
        n_resamples=EXACT_UP_TO,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def mean_with_interval(values: Floats, confidence: float, resamples: int, seed: int) -> Estimate:
    """Mean of exact values of shape (seeds, questions), resampling seeds, then questions."""
    rng = np.random.default_rng(seed)
    n_seeds, n_questions = values.shape
    seeds = rng.integers(n_seeds, size=(resamples, n_seeds))
    questions = rng.integers(n_questions, size=(resamples, n_questions))
    drawn = values[seeds[:, :, None], questions[:, None, :]].mean(axis=(1, 2))
    return Estimate(float(values.mean()), *percentiles(drawn, confidence))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979)."""
    if not p_values:
        return []
    adjusted: list[float] = multipletests(p_values, method="holm")[1].tolist()
    return adjusted
