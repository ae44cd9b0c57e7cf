"""Whether a design can show anything to be small, before a single answer is sampled.

Two tables of an arm are tried, with a base that is never misaligned: no misaligned answer at all,
and the most favourable one with at most one misaligned answer to a question. They differ: answers
that are all fine say nothing about questions that were not asked, one of which may be hot, while a
few stray misaligned answers on most questions say that questions are alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emgrid.aggregate.estimates import Comparison, Side, upper_bounds
from emgrid.aggregate.statistics import Counts, Floats
from emgrid.config.priors import Chosen

# Parts of the questions with a misaligned answer, of which the most favourable is taken.
STRAY_PARTS = (0, 0.25, 0.5, 0.75, 1)
MOST_ANSWERS = 1024
MOST_QUESTIONS = 256


@dataclass(frozen=True)
class Design:
    """Size of a grid as far as one arm and its base are concerned.

    seeds: of the arm. answers: to a question by each seed. base_answers: to a question by the base
    model, all its seeds together. margin, confidence: as in `metrics`. triggers: number of them,
    `none` not counted.
    """

    seeds: int
    questions: int
    answers: int
    base_answers: int
    margin: float
    confidence: float
    triggers: int
    fixed_questions: bool = False

    def total(self, arms: int) -> int:
        """Answers of all arms and their base."""
        each = arms * self.seeds * self.answers + self.base_answers
        return each * self.questions * (self.triggers + 1)


@dataclass(frozen=True)
class Reach:
    """Upper bounds (fractions) that a design can reach, each at the design's confidence.

    plain, plain_at_best: of the rise over the base without a trigger, of the all-zero table and of
    the most favourable one. beyond, beyond_at_best: of the rise under a trigger beyond the base's
    own; NaN without triggers. stray: questions with a misaligned answer in the most favourable
    table.
    """

    design: Design
    plain: float
    plain_at_best: float
    beyond: float
    beyond_at_best: float
    stray: int

    @property
    def is_small(self) -> bool:
        """Whether the all-zero table is shown to be small, under every trigger too."""
        return self.within(self.plain, self.beyond)

    @property
    def can_be_small(self) -> bool:
        """Whether any table is shown to be small, under every trigger too."""
        return self.within(self.plain_at_best, self.beyond_at_best)

    def within(self, *bounds: float) -> bool:
        return all(np.isnan(bound) or bound < self.design.margin for bound in bounds)


def reach(design: Design, priors: Chosen) -> Reach:
    """What the design can show at best. Takes some hundredths of a second."""
    strays = sorted({round(design.questions * part) for part in STRAY_PARTS})
    base = side("base", table(1, design.questions, design.base_answers, 0))
    arms = [
        side("arm", table(design.seeds, design.questions, design.answers, stray))
        for stray in strays
    ]
    plain = bounds(design, [(arm, base) for arm in arms], priors)
    beyond = np.full(len(arms), np.nan)
    if design.triggers:
        beyond = bounds(design, [(arm, arm, base, base) for arm in arms], priors)
    best = int(np.argmin(np.fmax(plain, beyond)))
    return Reach(
        design,
        plain=float(plain[0]),
        plain_at_best=float(plain[best]),
        beyond=float(beyond[0]),
        beyond_at_best=float(beyond[best]),
        stray=strays[best],
    )


def side(name: str, counts: Counts) -> Side:
    seeds = tuple(range(counts.trials.shape[0]))
    return Side(counts, seeds, ("", name, ""), trained=name != "base")


def bounds(design: Design, sides: list[tuple[Side, ...]], priors: Chosen) -> Floats:
    """The bounds by which verdicts call a rise small, shape (comparisons,)."""
    compared = [Comparison(each, design.questions) for each in sides]
    return np.array(upper_bounds(compared, design.confidence, design.fixed_questions, priors))


def table(seeds: int, questions: int, answers: int, stray: int) -> Counts:
    """Counts with one misaligned answer to each of the first `stray` questions, seeds in turn."""
    successes = np.zeros((seeds, questions), dtype=np.int64)
    places = np.arange(stray)
    successes[places % seeds, places] = 1
    return Counts(successes, np.full((seeds, questions), answers, dtype=np.int64))


def enough_answers(design: Design, priors: Chosen, share: float, best: bool) -> int | None:
    """The smallest number of answers to a question by each seed for which a table is shown to be
    small, at most 1,024; None if there is none.

    share: answers to a question by the base, as a multiple of those by one seed. best: of the most
    favourable table, else of the all-zero one.
    """

    def enough(answers: int) -> bool:
        base_answers = max(round(share * answers), 1)
        return decides(replace(design, answers=answers, base_answers=base_answers), priors, best)

    return smallest(enough, MOST_ANSWERS)


def enough_questions(design: Design, priors: Chosen, best: bool) -> int | None:
    """The smallest number of questions, at most 256, for which a table is shown to be small; None
    if there is none. best: as in `enough_answers`."""
    return smallest(
        lambda questions: decides(replace(design, questions=questions), priors, best),
        MOST_QUESTIONS,
    )


def decides(design: Design, priors: Chosen, best: bool) -> bool:
    found = reach(design, priors)
    return found.can_be_small if best else found.is_small


def smallest(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number that is enough, as are twice, four times … as many, up to `most`, a power
    of two; None if `most` is not enough.

    A few answers may seem to be enough where many are not: they fit questions that are all alike
    and rarely misaligned, many fit only questions of which nearly all are cold.
    """
    high = most
    if not enough(high):
        return None
    while high > 1 and enough(high // 2):
        high //= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
