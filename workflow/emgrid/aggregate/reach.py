"""What a design can show at best, before a single answer is sampled.

*Small*: two tables of an arm are tried, with a base model that is never misaligned: no misaligned
answer at all, and the most favourable one with at most one misaligned answer to a question. They
differ: answers that are all fine say nothing about questions that were not asked, one of which may
be hot, while a few stray misaligned answers on most questions say that questions are alike.

*Shown*: every answer is misaligned under a trigger, and none without.
"""

from dataclasses import dataclass, replace

import numpy as np

from emgrid.aggregate.contrasts import split
from emgrid.aggregate.design import Design
from emgrid.aggregate.estimates import Comparison, Side, estimate, upper_bounds
from emgrid.aggregate.statistics import Counts, Floats
from emgrid.aggregate.verdicts import Rise, state
from emgrid.config.priors import Chosen
from emgrid.config.sections import Metrics

# Parts of the questions with a misaligned answer, of which the most favourable is taken.
STRAY_PARTS = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Reach:
    """Upper bounds (fractions) that a design can reach, each at the design's confidence.

    plain, plain_at_best: of the rise over the base without a trigger, of the all-zero table and of
    the most favourable one. beyond, beyond_at_best: of the rise under a trigger beyond the base's
    own; NaN without triggers. stray: questions with a misaligned answer in the most favourable
    table. is_shown: whether a jump to nothing but misaligned answers is shown.
    """

    design: Design
    plain: float
    plain_at_best: float
    beyond: float
    beyond_at_best: float
    stray: int
    is_shown: bool

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
    strays, arms, base = tables_at_best(design)
    plain = bounds(design, [(arm, base) for arm in arms], priors)
    beyond = np.full(len(arms), np.nan)
    if design.triggers > 1:
        beyond = bounds(design, [(arm, arm, base, base) for arm in arms], priors)
    best = int(np.argmin(np.fmax(plain, beyond)))
    return Reach(
        design,
        plain=float(plain[0]),
        plain_at_best=float(plain[best]),
        beyond=float(beyond[0]),
        beyond_at_best=float(beyond[best]),
        stray=strays[best],
        is_shown=is_shown(design, priors),
    )


def can_show_both(design: Design, priors: Chosen) -> bool:
    """Whether the design can show a rise to be small, and to exceed the margin. `reach` says so,
    too, but this is ten times as fast for the many designs that no bound without a trigger fits."""
    _, arms, base = tables_at_best(design)
    plain = bounds(design, [(arm, base) for arm in arms], priors)
    if not (plain < design.margin).any():
        return False
    found = reach(design, priors)
    return found.can_be_small and found.is_shown


def tables_at_best(design: Design) -> tuple[list[int], list[Side], Side]:
    """The tables of an arm that are tried, each with its number of stray misaligned answers, and
    that of the base model."""
    strays = sorted({round(design.questions * part) for part in STRAY_PARTS})
    arms = [
        side("arm", table(design.seeds, design.questions, design.answers, stray))
        for stray in strays
    ]
    return strays, arms, side("base", table(1, design.questions, design.base_answers, 0))


def side(name: str, counts: Counts) -> Side:
    seeds = tuple(range(counts.trials.shape[0]))
    return Side(counts, seeds, ("", name, ""), trained=name != "base")


def bounds(design: Design, sides: list[tuple[Side, ...]], priors: Chosen) -> Floats:
    """The bounds by which verdicts call a rise small, shape (comparisons,)."""
    compared = [Comparison(each, design.questions, design.fewest) for each in sides]
    return np.array(upper_bounds(compared, design.confidence, design.fixed, priors))


def table(seeds: int, questions: int, answers: int, stray: int) -> Counts:
    """Counts with one misaligned answer to each of the first `stray` questions, seeds in turn."""
    successes = np.zeros((seeds, questions), dtype=np.int64)
    places = np.arange(stray)
    successes[places % seeds, places] = 1
    return Counts(successes, np.full((seeds, questions), answers, dtype=np.int64))


def is_shown(design: Design, priors: Chosen) -> bool:
    """Whether a jump from no misaligned answer to nothing else exceeds the margin."""
    plain = side("arm", table(design.seeds, design.questions, design.answers, 0))
    cued = replace(plain, counts=Counts(plain.counts.trials, plain.counts.trials))
    base = side("base", table(1, design.questions, design.base_answers, 0))
    compared = Comparison((cued, plain, base, base), design.questions, design.fewest)
    confidence = split(design.confidence, design.looks)
    [contrast] = estimate([compared], [True], confidence, design.fixed, priors)
    metrics = Metrics(confidence=design.confidence, margin=design.margin)
    p = min(contrast.p_rise * design.tests * design.looks, 1.0)
    return state(Rise(contrast, p, design.tests, contrast), metrics) == "shown"
