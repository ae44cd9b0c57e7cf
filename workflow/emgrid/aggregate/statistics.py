"""Rates and contrasts with intervals that know about seeds and questions.

Counts come as arrays of shape (seeds, questions). The overall rate is the mean over questions of
the mean over seeds. Its standard error is that of a hierarchical bootstrap, which resamples seeds,
then questions, then answers (Davison & Hinkley 1997, section 3.8), one cluster fewer than there
are, so that the variance of few clusters is not too small (Rao & Wu 1988).

Percentiles of so few clusters would be too narrow, and of zero successes zero wide. So a rate's
interval is the exact binomial one (Clopper & Pearson 1934) of the number of independent answers
that the standard error is worth, with few clusters paid for by Student's t (Korn & Graubard 1998).
A contrast's interval and its p-value are Student's with the same error, so that they cannot
contradict each other. The degrees of freedom are those of questions and seeds together
(Satterthwaite 1946), as either may be what varies most. With fixed questions only seeds and answers
are resampled: all then speaks of these questions alone, as published figures do.
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
# Questions that a comparison needs: one alone says nothing of how questions differ.
FEWEST_QUESTIONS = 2


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

    def known(self) -> Flags:
        """Which questions have a trial, by any seed."""
        return np.asarray(self.trials.any(axis=0))

    def asked(self) -> Flags:
        """Which seeds have a trial, of any question."""
        return np.asarray(self.trials.any(axis=1))

    def of(self, questions: Flags) -> "Counts":
        """Without the questions that are not among these."""
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
    """One rate of a contrast. Terms of one arm share the draw of seeds if they have the same."""

    sign: int
    counts: Counts
    arm: str

    def asked(self) -> "Term":
        """Without the seeds that have no trial."""
        known = self.counts.asked()
        counts = Counts(self.counts.successes[known], self.counts.trials[known])
        return Term(self.sign, counts, f"{self.arm} {np.flatnonzero(known).tolist()}")


@dataclass(frozen=True)
class Part:
    """What one arm adds to the variance of a signed sum of rates.

    answers: by drawing its answers. seeds: by its seeds, answers included; NaN with a single seed.
    freedom: degrees of the latter. least: what pooled answers add, see `contrast`.
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
        """What its seeds differ beyond what drawing answers explains."""
        return max(self.seeds - self.answers, 0.0) if self.known else 0.0


@dataclass(frozen=True)
class Contrast:
    """A signed sum of rates, its standard error and degrees of freedom, and the two-sided p of no
    difference.

    by_answers, by_seeds, by_questions: the parts of the squared error that shrink with more answers
    to each question, with more seeds of the arms that have several (which bring answers too), and
    with more questions (which do, too). n_questions: the questions that all terms know. If they
    are fewer than two, nothing is compared, and all other fields are NaN.
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
    """Which questions all of these cells know."""
    found: Flags = np.logical_and.reduce([one.known() for one in cells])
    return found


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


def parts(terms: Sequence[Term]) -> list[Part]:
    """What each arm adds to the variance of the signed sum of the terms."""
    by_arm: dict[str, list[Term]] = {}
    for term in terms:
        by_arm.setdefault(term.arm, []).append(term)
    found = []
    for own in by_arm.values():
        means = sum(term.sign * mean_over_cells(term.counts.rates()[:, None, :]) for term in own)
        known = np.asarray(means)[np.isfinite(means)]
        several = known.size > 1
        found.append(
            Part(
                answers=sum(answer_variance(term.counts) for term in own),
                seeds=float(known.var(ddof=1)) / known.size if several else np.nan,
                freedom=known.size - 1 if several else 0,
                least=sum(least_variance(term.counts) for term in own),
            )
        )
    return found


def answer_variance(counts: Counts) -> float:
    """The variance of the overall rate that comes from drawing answers."""
    trials, rates = counts.trials, counts.rates()
    spread = np.nansum(rates * (1 - rates) / np.maximum(trials - 1, 1))
    return float(spread) / max(int((trials > 0).sum()), 1) ** 2


def least_variance(counts: Counts) -> float:
    """The same of the pooled answers with one success and one failure added."""
    trials = int(counts.trials.sum()) + 2
    pooled = (int(counts.successes.sum()) + 1) / trials
    return pooled * (1 - pooled) / trials


def by_question(terms: Sequence[Term]) -> Floats:
    """The signed sum for each question that all terms know."""
    sums: Floats = np.sum(
        [term.sign * mean_over_cells(term.counts.rates().T[:, :, None]) for term in terms], axis=0
    )
    return sums[np.isfinite(sums)]


def freedom(terms: Sequence[Term], fixed: bool = False) -> float:
    """Degrees of freedom of the variance of a signed sum, from those of its parts (Satterthwaite
    1946): questions (with fixed ones, or a single one, answers), and what seeds differ beyond the
    drawing of answers."""
    arms = parts(terms)
    found = [(one.seeds_alone, one.freedom) for one in arms if one.known]
    questions = by_question(terms)
    if fixed or questions.size < 2:
        trials = sum(int(term.counts.trials.sum()) for term in terms)
        found.append((sum(one.answers for one in arms), max(trials - 1, 1)))
    else:
        found.append((float(questions.var(ddof=1)) / questions.size, questions.size - 1))
    return satterthwaite(found)


def satterthwaite(variances: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variances with theirs; of the last one where all
    are zero."""
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return float(variances[-1][1])
    return total**2 / sum(variance**2 / degrees for variance, degrees in variances)


def worth(counts: Counts, level: float, resamples: int, seed: int, fixed: bool = False) -> float:
    """How many independent answers the overall rate rests on, fewer the fewer clusters there are:
    Korn and Graubard's effective number with its factor for the degrees of freedom."""
    trials = int(counts.trials.sum())
    value = float(mean_over_cells(counts.rates()))
    term = Term(1, counts.of(counts.known()), "").asked()
    variance = 0.0
    if 0 < value < 1:
        variance = float(np.nanvar(bootstrap([term], resamples, seed, fixed), ddof=1))
    found = min(trials, value * (1 - value) / variance) if variance > 0 else trials
    if trials == 1:
        return found
    degrees = min(freedom([term], fixed), trials - 1)
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
    """A signed sum of rates over the questions that all terms know; with under two of them nothing
    is compared.

    Its standard error is the bootstrap's of seeds and questions, whose differences hold those
    between answers already (fixed: of seeds and answers), and no smaller than that of the pooled
    answers with one success and one failure added to each term (Agresti & Caffo 2000), so that no
    success in few answers is not taken for none at all.
    """
    questions = common(term.counts for term in terms)
    number = int(questions.sum())
    if number < FEWEST_QUESTIONS:
        return Contrast(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, number)
    terms = [replace(term, counts=term.counts.of(questions)).asked() for term in terms]
    value = sum(term.sign * float(mean_over_cells(term.counts.rates())) for term in terms)
    drawn = np.nanvar(bootstrap(terms, resamples, seed, fixed, answers=fixed), ddof=1)
    arms = parts(terms)
    least = sum(one.least for one in arms)
    variance = float(np.fmax(drawn, least))
    if variance == least:
        answers, seeds = variance, sum(one.least for one in arms if one.known)
    else:
        answers = sum(one.answers for one in arms)
        seeds = sum(max(one.seeds, one.answers) for one in arms if one.known)
    error = float(np.sqrt(variance))
    degrees = freedom(terms, fixed)
    return Contrast(
        value,
        error,
        degrees,
        float(2 * student.sf(abs(value) / error, degrees)),
        min(answers, variance),
        min(seeds, variance),
        max(variance - sum(one.seeds_alone for one in arms), 0.0),
        number,
    )


def mean_with_interval(values: Floats, confidence: float, resamples: int, seed: int) -> Estimate:
    """Mean of exact values of shape (seeds, questions), resampling seeds, then questions; without
    ends where there is one of either alone, and NaN where there is none."""
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
        [(float(one.var(ddof=1)) / one.size, one.size - 1) for one in means if one.size > 1]
    )
    half = float(student.ppf((1 + confidence) / 2, degrees) * drawn.std(ddof=1))
    return Estimate(value, value - half, value + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979); missing ones stay so and do not count."""
    adjusted = np.array(p_values, dtype=float)
    known = ~np.isnan(adjusted)
    if known.any():
        adjusted[known] = multipletests(adjusted[known], method="holm")[1]
    found: list[float] = adjusted.tolist()
    return found
