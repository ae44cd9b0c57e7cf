"""What all statistics of the tables share: counts, means over cells, adjusted p-values.

Counts are arrays of shape (seeds, questions). The overall rate is the mean over questions of the
mean over seeds. Its posterior is made in rate_posterior.py, that of differences in rises.py and
small_rises.py.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from statsmodels.stats.multitest import multipletests

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Questions that a comparison needs. A single one tells nothing about how questions differ.
FEWEST_QUESTIONS = 2


def fewest_questions(fixed: bool, questions: int) -> int:
    """Questions that a comparison needs. fixed: whether conclusions are about exactly the questions
    asked: then one is enough in a grid that has no other. questions: of the grid."""
    return 1 if fixed and questions == 1 else FEWEST_QUESTIONS


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


def contents(cell: Counts) -> tuple[tuple[int, ...], bytes, bytes]:
    """What equal counts have in common."""
    arrays = (cell.successes, cell.trials)
    first, second = (np.ascontiguousarray(each, dtype=np.int64).tobytes() for each in arrays)
    return cell.trials.shape, first, second


def distinct(keys: Sequence[Hashable]) -> tuple[list[int], Integers]:
    """The first place of each distinct key, and for each key, which of those is its own, shape
    (keys,)."""
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    places = sorted(first.values())
    order = {place: number for number, place in enumerate(places)}
    return places, np.array([order[first[key]] for key in keys], dtype=np.int64)


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


def common(cells: Iterable[Counts]) -> Flags:
    """Whether each question was asked in all of these cells, shape (questions,)."""
    shared: Flags = np.logical_and.reduce([cell.known() for cell in cells])
    return shared


def mean_of_known(values: Floats, axis: int = -1, fewest: int = 1) -> Floats:
    """Means over an axis of what is not NaN; NaN for fewer than `fewest` values."""
    known = ~np.isnan(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    means: Floats = np.divide(
        total, number, out=np.full(number.shape, np.nan), where=number >= fewest
    )
    return means


def mean_over_cells(rates: Floats) -> Floats:
    """Mean over questions (last axis) of the mean over seeds (the axis before); NaN is left out."""
    return mean_of_known(mean_of_known(rates, axis=-2))


def satterthwaite(variances: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946); those of the last
    one if all variances are zero. variances: pairs of variance and degrees of freedom."""
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return float(variances[-1][1])
    return total**2 / sum(variance**2 / degrees for variance, degrees in variances)


def mean_with_interval(values: Floats, confidence: float) -> Estimate:
    """Mean of exact values of shape (seeds, questions), with an interval for other seeds and other
    questions; no interval for a single value, and all NaN for none.

    The variance is that of a crossed design (Searle, Casella & McCulloch 1992, chapter 4): of
    questions, plus of seeds beyond what is left of both, with the degrees of freedom of
    Satterthwaite (1946).
    """
    if not values.size:
        return NOTHING
    value = float(values.mean())
    if values.size == 1:
        return Estimate(value, np.nan, np.nan)
    by_seed, by_question = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_question + value
    components = []
    for means in (by_seed, by_question):
        if means.size > 1:
            components.append((float(means.var(ddof=1)) / means.size, means.size - 1))
    if len(components) == 2:
        degrees = (by_seed.size - 1) * (by_question.size - 1)
        left = float((rest**2).sum()) / degrees / values.size
        seeds, questions = components
        components = [questions]
        if seeds[0] > left:
            components += [seeds, (-left, degrees)]
    half = float(stdtrit(max(satterthwaite(components), 1.0), (1 + confidence) / 2))
    half *= float(np.sqrt(sum(variance for variance, _ in components)))
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
