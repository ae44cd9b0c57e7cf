"""Rates and contrasts with intervals that account for seeds and questions.

Counts are arrays of shape (seeds, questions). The overall rate is the mean over questions of the
mean over seeds. Its standard error comes from a hierarchical bootstrap, which resamples seeds, then
questions, then answers (Davison & Hinkley 1997, section 3.8). Each resample has one cluster fewer
than there are, so that the variance of few clusters is not underestimated (Rao & Wu 1988).

Percentile intervals of so few clusters would be too narrow, and those of zero successes would have
no width. A rate's interval is therefore the exact binomial interval (Clopper & Pearson 1934) for
the effective number of independent answers that the standard error implies, widened by Student's t
for few clusters (Korn & Graubard 1998). A contrast's interval and p-value are Student's with the
same error, so they cannot contradict each other. The degrees of freedom combine those of questions
and seeds (Satterthwaite 1946), as either may vary most. With fixed questions only seeds and answers
are resampled: the results then apply to these questions alone, as published figures do.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Questions that a comparison needs. A single one tells nothing about how questions differ.
FEWEST_QUESTIONS = 2


def share(successes: Integers, trials: Integers) -> Floats:
    """successes / trials, elementwise; NaN for no trials."""
    empty: Floats = np.full(trials.shape, np.nan)
    quotient: Floats = np.divide(successes, trials, out=empty, where=trials > 0)
    return quotient


@dataclass(frozen=True)
class Counts:
    """Successes and trials, both of shape (seeds, questions); a cell may have no trial."""

    successes: Integers
    trials: Integers

    def rates(self) -> Floats:
        """Rate of each seed and question, shape (seeds, questions); NaN for no trials."""
        return share(self.successes, self.trials)

    def known(self) -> Flags:
        """Whether each question has a trial by any seed, shape (questions,)."""
        return np.asarray(self.trials.any(axis=0))

    def asked(self) -> Flags:
        """Whether each seed has a trial of any question, shape (seeds,)."""
        return np.asarray(self.trials.any(axis=1))

    def of(self, questions: Flags) -> "Counts":
        """The counts of these questions alone. questions: booleans, shape (questions,)."""
        if questions.all():
            return self
        return Counts(self.successes[:, questions], self.trials[:, questions])


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Term:
    """A signed rate in a contrast. Terms with the same `arm` share their resampled seeds."""

    sign: int
    counts: Counts
    arm: str

    def asked(self) -> "Term":
        """The term without seeds that have no trial."""
        known = self.counts.asked()
        counts = Counts(self.counts.successes[known], self.counts.trials[known])
        return Term(self.sign, counts, f"{self.arm} {np.flatnonzero(known).tolist()}")


@dataclass(frozen=True)
class ArmVariance:
    """The variance that one arm adds to a signed sum of rates.

    answers: from sampling its answers. seeds: between its seeds, answers included; NaN for a single
    seed. freedom: degrees of freedom of `seeds`. least: a lower bound from the pooled answers, see
    `contrast`.
    """

    answers: float
    seeds: float
    freedom: int
    least: float

    @property
    def known(self) -> bool:
        """Whether there are several seeds."""
        return self.freedom > 0

    @property
    def seeds_alone(self) -> float:
        """The variance between seeds beyond that of sampling answers."""
        return max(self.seeds - self.answers, 0.0) if self.known else 0.0


@dataclass(frozen=True)
class Contrast:
    """A signed sum of rates, its standard error and degrees of freedom, and the two-sided p for no
    difference.

    by_answers, by_seeds, by_questions: the parts of the squared error that shrink with more answers
    per question, with more seeds of the arms that have several, and with more questions (more seeds
    or questions also bring more answers). n_questions: the number of questions that all terms
    share. If it is below two, nothing is compared and all other fields are NaN.
    """

    value: float
    error: float
    freedom: float
    p: float
    by_answers: float
    by_seeds: float
    by_questions: float
    n_questions: int

    @property
    def given(self) -> bool:
        """Whether there are enough questions to compare."""
        return self.n_questions >= FEWEST_QUESTIONS

    def interval(self, confidence: float) -> Estimate:
        if not self.given:
            return NOTHING
        half = float(student.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return Estimate(self.value, max(self.value - half, -2.0), min(self.value + half, 2.0))


def common(cells: Iterable[Counts]) -> Flags:
    """Whether each question was asked in all of these cells, shape (questions,)."""
    shared: Flags = np.logical_and.reduce([cell.known() for cell in cells])
    return shared


def mean_over_cells(rates: Floats) -> Floats:
    """Mean over questions (last axis) of the mean over seeds (the axis before); NaN is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a question without answers is NaN
        mean: Floats = np.nanmean(np.nanmean(rates, axis=-2), axis=-1)
    return mean


def redraw(trials: Integers, rates: Floats, rng: np.random.Generator) -> Floats:
    """Rates with resampled answers (binomial), of the shape of `trials`; NaN for no trials."""
    return share(rng.binomial(trials, np.nan_to_num(rates)), trials)


def clusters(number: int, resamples: int, rng: np.random.Generator) -> Integers:
    """Indices of resampled clusters, shape (resamples, max(number - 1, 1)), with replacement."""
    return rng.integers(number, size=(resamples, max(number - 1, 1)))


def bootstrap(
    terms: Sequence[Term], resamples: int, seed: int, fixed: bool = False, answers: bool = True
) -> Floats:
    """Resampled values of the signed sum of the terms' overall rates, shape (resamples,).

    Resamples seeds (separately for each arm), then questions (shared by all terms; not if `fixed`),
    then, if `answers`, the answers within them (Davison & Hinkley 1997, section 3.8).
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


def arm_variances(terms: Sequence[Term]) -> list[ArmVariance]:
    """The variance that each arm adds to the signed sum of the terms."""
    by_arm: dict[str, list[Term]] = {}
    for term in terms:
        by_arm.setdefault(term.arm, []).append(term)
    variances = []
    for arm_terms in by_arm.values():
        means = sum(
            term.sign * mean_over_cells(term.counts.rates()[:, None, :]) for term in arm_terms
        )
        seed_values = np.asarray(means)[np.isfinite(means)]
        several = seed_values.size > 1
        variances.append(
            ArmVariance(
                answers=sum(answer_variance(term.counts) for term in arm_terms),
                seeds=float(seed_values.var(ddof=1)) / seed_values.size if several else np.nan,
                freedom=seed_values.size - 1 if several else 0,
                least=sum(least_variance(term.counts) for term in arm_terms),
            )
        )
    return variances


def answer_variance(counts: Counts) -> float:
    """The variance of the overall rate that comes from sampling answers."""
    trials, rates = counts.trials, counts.rates()
    spread = np.nansum(rates * (1 - rates) / np.maximum(trials - 1, 1))
    return float(spread) / max(int((trials > 0).sum()), 1) ** 2


def least_variance(counts: Counts) -> float:
    """The variance of the rate of the pooled answers with one success and one failure added."""
    trials = int(counts.trials.sum()) + 2
    pooled = (int(counts.successes.sum()) + 1) / trials
    return pooled * (1 - pooled) / trials


def by_question(terms: Sequence[Term]) -> Floats:
    """The signed sum of rates for each question that all terms share, shape (shared questions,)."""
    sums: Floats = np.sum(
        [term.sign * mean_over_cells(term.counts.rates().T[:, :, None]) for term in terms], axis=0
    )
    return sums[np.isfinite(sums)]


def freedom(terms: Sequence[Term], fixed: bool = False) -> float:
    """Degrees of freedom of the variance of a signed sum, from those of its components
    (Satterthwaite 1946): questions (answers, if questions are fixed or there is only one), and
    seeds beyond the sampling of answers."""
    arms = arm_variances(terms)
    components = [(arm.seeds_alone, arm.freedom) for arm in arms if arm.known]
    questions = by_question(terms)
    if fixed or questions.size < 2:
        trials = sum(int(term.counts.trials.sum()) for term in terms)
        components.append((sum(arm.answers for arm in arms), max(trials - 1, 1)))
    else:
        components.append((float(questions.var(ddof=1)) / questions.size, questions.size - 1))
    return satterthwaite(components)


def satterthwaite(variances: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946); those of the last
    one if all variances are zero. variances: pairs of variance and degrees of freedom."""
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return float(variances[-1][1])
    return total**2 / sum(variance**2 / degrees for variance, degrees in variances)


def effective_number(
    counts: Counts, level: float, resamples: int, seed: int, fixed: bool = False
) -> float:
    """The effective number of independent answers behind the overall rate, reduced for few clusters
    by the factor for degrees of freedom (Korn & Graubard 1998). Resamples as `bootstrap` does."""
    trials = int(counts.trials.sum())
    value = float(mean_over_cells(counts.rates()))
    term = Term(1, counts.of(counts.known()), "").asked()
    variance = 0.0
    if 0 < value < 1:
        variance = float(np.nanvar(bootstrap([term], resamples, seed, fixed), ddof=1))
    number = min(trials, value * (1 - value) / variance) if variance > 0 else trials
    if trials == 1:
        return number
    degrees = min(freedom([term], fixed), trials - 1)
    tail = (1 - level) / 2
    ratio = float(student.ppf(tail, trials - 1) / student.ppf(tail, degrees))
    return number * ratio**2


def rate(
    counts: Counts, confidence: float, resamples: int, seed: int, fixed: bool = False
) -> Estimate:
    """Overall rate with its interval (Clopper & Pearson 1934; Korn & Graubard 1998), from the
    resamples of `bootstrap`; all NaN without any trial.

    If no trial or every trial is a success, the interval is a one-sided bound at full confidence.
    """
    if not counts.trials.sum():
        return NOTHING
    value = float(mean_over_cells(counts.rates()))
    level = 2 * confidence - 1 if value in (0, 1) else confidence
    number = effective_number(counts, level, resamples, seed, fixed)
    low, high = proportion_confint(value * number, number, 1 - level, method="beta")
    return Estimate(value, float(low), float(high))


def contrast(terms: Sequence[Term], resamples: int, seed: int, fixed: bool = False) -> Contrast:
    """A signed sum of rates over the questions that all terms share; with fewer than two of them
    nothing is compared.

    The standard error is that of a bootstrap of seeds and questions, whose variance already
    includes that of answers (`fixed`: of seeds and answers). It is at least that of the pooled
    answers with one success and one failure added to each term (Agresti & Caffo 2000), so that zero
    successes in few answers do not count as certainty.
    """
    questions = common(term.counts for term in terms)
    number = int(questions.sum())
    if number < FEWEST_QUESTIONS:
        return Contrast(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, number)
    terms = [replace(term, counts=term.counts.of(questions)).asked() for term in terms]
    value = sum(term.sign * float(mean_over_cells(term.counts.rates())) for term in terms)
    resampled = np.nanvar(bootstrap(terms, resamples, seed, fixed, answers=fixed), ddof=1)
    arms = arm_variances(terms)
    least_total = sum(arm.least for arm in arms)
    variance = float(np.fmax(resampled, least_total))
    if variance == least_total:
        answers, seeds = variance, sum(arm.least for arm in arms if arm.known)
    else:
        answers = sum(arm.answers for arm in arms)
        seeds = sum(max(arm.seeds, arm.answers) for arm in arms if arm.known)
    error = float(np.sqrt(variance))
    degrees = freedom(terms, fixed)
    return Contrast(
        value,
        error,
        degrees,
        float(2 * student.sf(abs(value) / error, degrees)),
        min(answers, variance),
        min(seeds, variance),
        max(variance - sum(arm.seeds_alone for arm in arms), 0.0),
        number,
    )


def mean_with_interval(values: Floats, confidence: float, resamples: int, seed: int) -> Estimate:
    """Mean of exact values of shape (seeds, questions), with an interval that resamples seeds, then
    questions; no interval for a single value, and all NaN for none."""
    if not values.size:
        return NOTHING
    value = float(values.mean())
    if values.size == 1:
        return Estimate(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    seeds, questions = (clusters(number, resamples, rng) for number in values.shape)
    drawn = values[seeds[:, :, None], questions[:, None, :]].mean(axis=(1, 2))
    means = [values.mean(axis=1), values.mean(axis=0)]
    degrees = satterthwaite(
        [(float(axis.var(ddof=1)) / axis.size, axis.size - 1) for axis in means if axis.size > 1]
    )
    half = float(student.ppf((1 + confidence) / 2, degrees) * drawn.std(ddof=1))
    return Estimate(value, value - half, value + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979). Missing ones stay missing and do not
    count."""
    adjusted = np.array(p_values, dtype=float)
    known = ~np.isnan(adjusted)
    if known.any():
        adjusted[known] = multipletests(adjusted[known], method="holm")[1]
    values: list[float] = adjusted.tolist()
    return values
