"""Rates and contrasts with intervals that know about seeds and questions.

Counts come as arrays of shape (seeds, questions). The overall rate is the mean over questions of
the mean over seeds. Its standard error is that of a hierarchical bootstrap, which resamples seeds,
then questions, then answers (Davison & Hinkley 1997, section 3.8), one cluster fewer than there
are, so that the variance of few clusters is not too small (Rao & Wu 1988).

Percentiles of so few clusters would be too narrow, and of zero successes zero wide. So a rate's
interval is the exact binomial one (Clopper & Pearson 1934) of the number of independent answers
that the standard error is worth, with few clusters paid for by Student's t (Korn & Graubard 1998),
and a contrast's is Student's, with a p-value by flipping the signs of its questions. With fixed
questions only seeds and answers are resampled, and seeds and questions are flipped each by itself:
both then speak of these questions alone, as published figures do.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test
from scipy.stats import t as student
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


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Term:
    """One rate of a contrast. Terms of one arm share the draw of seeds."""

    sign: int
    counts: Counts
    arm: str


@dataclass(frozen=True)
class Contrast:
    """A signed sum of rates, its standard error and degrees of freedom, and the two-sided p of no
    difference.

    by_answers, by_seeds: the parts of the error's square that shrink with more answers to each
    question, and with more seeds (which bring answers too).
    """

    value: float
    error: float
    freedom: float
    p: float
    by_answers: float
    by_seeds: float

    def interval(self, confidence: float) -> Estimate:
        half = float(student.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return Estimate(self.value, max(self.value - half, -2.0), min(self.value + half, 2.0))


def mean_over_cells(rates: Floats) -> Floats:
    """Mean over questions (last axis) of the mean over seeds; cells without trials are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a question nobody answered is NaN
        mean: Floats = np.nanmean(np.nanmean(rates, axis=-2), axis=-1)
    return mean


def redraw(trials: Integers, rates: Floats, rng: np.random.Generator) -> Floats:
    """Rates of the cells with their answers drawn anew, NaN where there is no trial."""
    return share(rng.binomial(trials, np.nan_to_num(rates)), trials)


def clusters(number: int, resamples: int, rng: np.random.Generator) -> Integers:
    """Which clusters each resample holds, one fewer than there are; a single one is always it."""
    return rng.integers(number, size=(resamples, max(number - 1, 1)))


def bootstrap(
    terms: Sequence[Term], resamples: int, seed: int, fixed: bool = False, answers: bool = True
) -> Floats:
    """Resampled values of the signed sum of the terms' overall rates.

    answers: whether they are resampled too, inside the resampled seeds and questions.
    """
    rng = np.random.default_rng(seed)
    n_questions = terms[0].counts.trials.shape[1]
    questions = clusters(n_questions, resamples, rng)
    if fixed:
        questions = np.broadcast_to(np.arange(n_questions), (resamples, n_questions))
    seeds: dict[str, Integers] = {}
    total = np.zeros(resamples)
    for term in terms:
        if term.arm not in seeds:
            seeds[term.arm] = clusters(term.counts.trials.shape[0], resamples, rng)
        cell = (seeds[term.arm][:, :, None], questions[:, None, :])
        rates = term.counts.rates()[cell]
        if answers:
            rates = redraw(term.counts.trials[cell], rates, rng)
        total += term.sign * mean_over_cells(rates)
    return total


def freedom(terms: Sequence[Term], fixed: bool = False) -> float:
    """Degrees of freedom of the bootstrap's variance: questions minus one.

    With fixed questions, or a single one, those of two parts together (Satterthwaite 1946): the
    variance between answers, and what the seeds of each arm differ beyond it.
    """
    n_questions = terms[0].counts.trials.shape[1]
    if n_questions > 1 and not fixed:
        return float(n_questions - 1)
    within, between = components(terms)
    variances = [(within, sum(int(term.counts.trials.sum()) for term in terms) - 1)]
    variances += [(max(found - within / len(between), 0.0), degrees) for found, degrees in between]
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return float(max(variances[0][1], 1))
    return total**2 / sum(variance**2 / max(degrees, 1) for variance, degrees in variances)


def components(terms: Sequence[Term]) -> tuple[float, list[tuple[float, int]]]:
    """The variance of the signed sum that comes from drawing answers; and for each arm with
    several seeds that of its seeds' means, answers included, with its degrees of freedom."""
    by_seed: dict[str, Floats] = {}
    within = 0.0
    for term in terms:
        trials, rates = term.counts.trials, term.counts.rates()
        means = term.sign * mean_over_cells(rates[:, None, :])
        by_seed[term.arm] = by_seed.get(term.arm, np.zeros(len(means))) + means
        spread = np.nansum(rates * (1 - rates) / np.maximum(trials, 1))
        within += float(spread) / max(int((trials > 0).sum()), 1) ** 2
    between = []
    for means in by_seed.values():
        known = means[np.isfinite(means)]
        if known.size > 1:
            between.append((float(known.var(ddof=1)) / known.size, known.size - 1))
    return within, between


def worth(counts: Counts, level: float, resamples: int, seed: int, fixed: bool = False) -> float:
    """How many independent answers the overall rate rests on, fewer the fewer clusters there are:
    Korn and Graubard's effective number with its factor for the degrees of freedom."""
    trials = int(counts.trials.sum())
    value = float(mean_over_cells(counts.rates()))
    variance = 0.0
    if 0 < value < 1:
        term = Term(1, counts, "")
        variance = float(np.nanvar(bootstrap([term], resamples, seed, fixed), ddof=1))
    found = min(trials, value * (1 - value) / variance) if variance > 0 else trials
    if trials == 1:
        return found
    degrees = min(freedom([Term(1, counts, "")], fixed), trials - 1)
    tail = (1 - level) / 2
    ratio = float(student.ppf(tail, trials - 1) / student.ppf(tail, degrees))
    return found * ratio**2


def rate(
    counts: Counts, confidence: float, resamples: int, seed: int, fixed: bool = False
) -> Estimate:
    """Overall rate with its interval; all NaN where there is no trial at all.

    Zero successes have a one-sided bound, with all of the confidence on its side (and so have as
    many successes as trials).
    """
    if not counts.trials.sum():
        return NOTHING
    value = float(mean_over_cells(counts.rates()))
    level = 2 * confidence - 1 if value in (0, 1) else confidence
    number = worth(counts, level, resamples, seed, fixed)
    low, high = proportion_confint(value * number, number, 1 - level, method="beta")
    return Estimate(value, float(low), float(high))


def contrast(terms: Sequence[Term], resamples: int, seed: int, fixed: bool = False) -> Contrast:
    """A signed sum of rates over the same questions.

    Its standard error is the bootstrap's of seeds and questions, whose differences hold those
    between answers already (fixed: of seeds and answers), and no smaller than that of the pooled
    answers with one success and one failure added to each term (Agresti & Caffo 2000), so that no
    success in few answers is not taken for none at all.
    """
    value = sum(term.sign * float(mean_over_cells(term.counts.rates())) for term in terms)
    alone = fixed or terms[0].counts.trials.shape[1] == 1
    drawn = np.nanvar(bootstrap(terms, resamples, seed, fixed, answers=alone), ddof=1)
    least = 0.0
    for term in terms:
        trials = int(term.counts.trials.sum()) + 2
        pooled = (int(term.counts.successes.sum()) + 1) / trials
        least += pooled * (1 - pooled) / trials
    variance = max(float(drawn), least)
    within, between = components(terms)
    if variance == least:
        within = variance
    seeds = max(within, sum(part for part, _ in between))
    return Contrast(
        value,
        float(np.sqrt(variance)),
        freedom(terms, fixed),
        sign_flip_p(differences(terms, fixed), seed),
        min(within, variance),
        min(seeds, variance),
    )


def differences(terms: Sequence[Term], fixed: bool = False) -> Floats:
    """The signed sum for each unit of repetition: for each question; with fixed questions for
    each seed and question, where the terms have the same seeds (or a single one)."""
    seeds = {term.counts.trials.shape[0] for term in terms} - {1}
    rates = [term.sign * term.counts.rates() for term in terms]
    if not fixed or len(seeds) > 1:
        rates = [mean_over_cells(each.T[:, :, None]) for each in rates]
    total: Floats = np.sum(np.broadcast_arrays(*rates), axis=0)
    return total.ravel()


def sign_flip_p(differences: Floats, seed: int) -> float:
    """Two-sided p of the mean difference by flipping signs, the paired permutation test.

    Exact up to 12 differences; k of them can give no p below 2 / 2**k.
    """
    finite = differences[np.isfinite(differences)]
    if finite.size < 2 or not finite.any():
        return 1.0
    result = permutation_test(
        (finite,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=EXACT_UP_TO,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def mean_with_interval(values: Floats, confidence: float, resamples: int, seed: int) -> Estimate:
    """Mean of exact values of shape (seeds, questions), resampling seeds, then questions."""
    rng = np.random.default_rng(seed)
    n_seeds, n_questions = values.shape
    seeds = clusters(n_seeds, resamples, rng)
    questions = clusters(n_questions, resamples, rng)
    drawn = values[seeds[:, :, None], questions[:, None, :]].mean(axis=(1, 2))
    degrees = max((n_questions if n_questions > 1 else n_seeds) - 1, 1)
    half = float(student.ppf((1 + confidence) / 2, degrees) * drawn.std(ddof=1))
    value = float(values.mean())
    return Estimate(value, value - half, value + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979)."""
    if not p_values:
        return []
    adjusted: list[float] = multipletests(p_values, method="holm")[1].tolist()
    return adjusted
