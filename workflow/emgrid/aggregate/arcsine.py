"""Crossed analysis of variance of rates on the arcsine scale: a check of the mixed model.

A cell's rate becomes an angle whose variance hardly depends on it, 1 / (4 n + 2) for n answers
(Freeman & Tukey 1950). Each arm's signed sum of angles is an array of seeds by questions. Seeds are
of each arm, questions are common to all of them, so that the variance of the mean is

    sum over arms of max(MS_seed - MS_rest, 0) / (seeds * questions) + MS_question,

MS_question being that of the sum over arms, divided by its number of cells. Degrees of freedom are
Satterthwaite's (1946). Unlike the mixed model, this needs no prior, but it does not know that one
seed alone may differ from the next, and means of a few angles still skew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from emgrid.aggregate.statistics import Counts, satterthwaite

Floats = NDArray[np.float64]
# Degrees of freedom of a variance that is known.
VERY_MANY = 10**6


class Signed(NamedTuple):
    """Counts of a cell that enter a sum of angles with a sign. Cells of one arm share seeds."""

    sign: int
    counts: Counts
    arm: str


@dataclass(frozen=True)
class Angle:
    """A signed sum of mean angles (radians), its standard error, degrees of freedom, and the
    two-sided p of no difference; p is one if the sum and its error are zero."""

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        return min(2 * self._tail(abs(self.value)), 1.0)

    @property
    def p_one_sided(self) -> float:
        """p of no rise."""
        return self._tail(self.value)

    def _tail(self, value: float) -> float:
        return float(student.sf(value / self.error, self.freedom))


@dataclass(frozen=True)
class Parts:
    """One arm's signed sum of angles: its mean, the deviations of questions, shape (questions,),
    and variances of the mean with their degrees of freedom: between seeds, of the rest, and the
    least that answers alone give. freedom is zero for a single seed."""

    mean: float
    questions: Floats
    seeds: float
    rest: float
    freedom: tuple[int, int]
    answers: float


def angles(counts: Counts) -> Floats:
    """Freeman and Tukey's angles (radians), shape (seeds, questions); NaN for no trial."""
    successes, trials = counts.successes, counts.trials
    lower, upper = (np.arcsin(np.sqrt(each / (trials + 1))) for each in (successes, successes + 1))
    found: Floats = np.where(trials > 0, (lower + upper) / 2, np.nan)
    return found


def filled(values: Floats) -> Floats:
    """Values with missing ones (NaN) replaced by what seed and question add up to by least squares
    (Yates 1933)."""
    known = np.isfinite(values)
    if known.all():
        return values
    seeds, questions = (np.eye(number) for number in values.shape)
    columns = np.concatenate(
        [np.repeat(seeds, values.shape[1], axis=0), np.tile(questions, (values.shape[0], 1))],
        axis=1,
    )
    solved = np.linalg.lstsq(columns[known.ravel()], values[known], rcond=None)[0]
    return np.where(known, values, (columns @ solved).reshape(values.shape))


def parts(terms: Sequence[Signed]) -> Parts:
    """The analysis of one arm's terms. Seeds without any trial in one of the terms are left out."""
    values = np.sum([term.sign * angles(term.counts) for term in terms], axis=0)
    asked = np.isfinite(values).any(axis=1)
    missing = int(np.isnan(values[asked]).sum())
    table = filled(values[asked])
    seeds, questions = table.shape
    mean = float(table.mean())
    by_seed, by_question = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    rest = table - mean - by_seed[:, None] - by_question
    degrees = max((seeds - 1) * (questions - 1) - missing, 1)
    several = seeds > 1
    answers = sum(
        np.sum(1 / (4 * trials[trials > 0] + 2)) / table.size**2
        for trials in (term.counts.trials[asked] for term in terms)
    )
    return Parts(
        mean,
        by_question,
        float((by_seed**2).sum() / (seeds - 1) / seeds) if several else 0.0,
        float((rest**2).sum() / degrees / table.size) if several else 0.0,
        (seeds - 1, degrees) if several else (0, 0),
        float(answers),
    )


def crossed(terms: Iterable[Signed], fixed: bool = False) -> Angle:
    """A signed sum of mean angles over the questions of the terms, at least two, each with a trial
    in every term. fixed: of these questions alone, so that their variance is no error.

    The error is at least that of the answers.
    """
    by_arm: dict[str, list[Signed]] = {}
    for term in terms:
        by_arm.setdefault(term.arm, []).append(term)
    arms = [parts(own) for own in by_arm.values()]
    least = sum(arm.answers for arm in arms)
    components: list[tuple[float, int]] = []
    for arm in arms:
        if arm.seeds > arm.rest or (fixed and arm.freedom[0]):
            components.append((arm.seeds, arm.freedom[0]))
        if arm.seeds > arm.rest and not fixed:
            components.append((-arm.rest, arm.freedom[1]))
        if fixed and not arm.freedom[0]:
            components.append((arm.answers, VERY_MANY))
    if not fixed:
        questions = np.sum([arm.questions for arm in arms], axis=0)
        number = questions.size
        components.append((float((questions**2).sum() / (number - 1) / number), number - 1))
    variance = sum(component for component, _ in components)
    if variance <= least:
        return Angle(sum(arm.mean for arm in arms), float(np.sqrt(least)), VERY_MANY)
    return Angle(
        sum(arm.mean for arm in arms), float(np.sqrt(variance)), max(satterthwaite(components), 1.0)
    )
