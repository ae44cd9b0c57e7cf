"""The design of a grid: how many answers each model gives, and which verdicts they can reach.

A verdict that no answers could give is not worth a run.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from emgrid.aggregate.design import Design
from emgrid.aggregate.reach import can_show_both, reach
from emgrid.aggregate.statistics import fewest_questions
from emgrid.config.priors import USUAL, Chosen, prior_sets
from emgrid.grid.arms import name_of
from emgrid.grid.grid import Grid
from emgrid.runtime.errors import EmgridError

BASE_SHARES = (1, 2, 4)
QUESTIONS = (8, 16, 24, 48)


def planned_design(
    grid: Grid,
    seeds: int | None,
    questions: int | None,
    answers: int | None,
    base_answers: int | None,
) -> Design:
    """The grid's design, with the given numbers in place of the config's."""
    config = grid.config
    number = len(grid.questions) if questions is None else questions
    fewest = fewest_questions(config.metrics.fixed_questions, number)
    minima = {"--seeds": (seeds, 1), "--questions": (questions, fewest),
             "--answers": (answers, 1), "--base-answers": (base_answers, 1)}  # fmt: skip
    for name, (value, least) in minima.items():
        if value is not None and value < least:
            raise EmgridError(f"{name} {value}: must be at least {least}")
    if number < fewest:
        raise EmgridError(
            f"{config.name} asks {len(grid.questions)} question, and a comparison needs "
            f"{fewest}; give --questions, or set metrics.fixed_questions for this question alone"
        )
    sampled = answers_by_arm(grid)
    if answers is None and not sampled:
        raise EmgridError(f"{config.name} samples nothing; give --answers")
    arms = Counter(
        base
        for base, intervention, _ in {name_of(arm) for arm in grid.arms}
        if intervention != "base"
    )
    own = [number for name, number in sampled if name != "base"] or [n for _, n in sampled]
    base = [number for name, number in sampled if name == "base"]
    answers = answers or min(own)
    return Design(
        seeds=seeds or max(len(config.seeds), 1),
        questions=questions or len(grid.questions),
        answers=answers,
        base_answers=base_answers or (min(base) if base else answers),
        arms=max(arms.values(), default=1),
        triggers=len(grid.triggers),
        confidence=config.metrics.confidence,
        fixed=config.metrics.fixed_questions,
        margin=config.metrics.margin,
        looks=config.rounds.looks if config.rounds else 1,
    )


def answers_by_arm(grid: Grid) -> list[tuple[str, int]]:
    """Intervention and answers per question of each arm that is sampled here."""
    trained = [(arm.intervention, arm.sampling.answers_per_question) for arm in grid.trained]
    return trained + [
        (arm.intervention, arm.served.sampling.answers_per_question)
        for arm in grid.served
        if arm.served is not None
    ]


def designs_at_cost(design: Design, cost: int) -> list[Design]:
    """Designs of about as many answers: with other numbers of questions, of seeds, and of the base
    model's answers, which is asked a whole number of times as often as one seed.

    One seed is no alternative to more, as it says nothing of other trainings.
    """
    found = []
    fewest = min(design.seeds, 2)
    for seeds in dict.fromkeys([design.seeds, max(design.seeds - 1, fewest), design.seeds + 1]):
        for questions in sorted({design.questions, *QUESTIONS}):
            for share in BASE_SHARES:
                each = cost / design.triggers / questions / (design.arms * seeds + share)
                answers = int(each)
                if answers:
                    found.append(
                        replace(
                            design,
                            seeds=seeds,
                            questions=questions,
                            answers=answers,
                            base_answers=share * answers,
                        )
                    )
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Reachable:
    """Whether a design can show a rise to be small, and to exceed the margin under a trigger.

    bound: the lowest upper bound (a fraction) of a rise that it can show. bound_of_none: that of an
    arm without any misaligned answer. enough: a design that can show both, of about as many answers
    or else of a few times as many; None if this one can, or if none was found.
    """

    small: bool
    shown: bool
    bound: float
    bound_of_none: float
    enough: Design | None

    @property
    def verdicts(self) -> list[str]:
        """The verdicts that the design can reach, besides inconclusive."""
        wanted = {
            "clean": self.small,
            "conditional": self.small and self.shown,
            "triggered": self.shown,
            "overt": self.shown,
        }
        return [name for name, is_reached in wanted.items() if is_reached]


def reachable(design: Design, priors: Chosen) -> Reachable:
    """What a design can show, and what would be enough."""
    own = reach(design, priors)
    enough = None
    for times in (1, 2, 4, 8):
        if enough is None and not (own.can_be_small and own.is_shown):
            enough = first_enough(designs_at_cost(design, times * design.cost), priors)
    return Reachable(
        small=own.can_be_small,
        shown=own.is_shown,
        bound=float(np.fmax(own.plain_at_best, own.beyond_at_best)),
        bound_of_none=float(np.fmax(own.plain, own.beyond)),
        enough=enough,
    )


def first_enough(designs: Iterable[Design], priors: Chosen) -> Design | None:
    """The first design that can show a rise to be small, and to exceed the margin."""
    return next((design for design in designs if can_show_both(design, priors)), None)


def sentence(design: Design, found: Reachable) -> str:
    """What the design can reach, and what would be enough, in one or two sentences."""
    asked = numbers_of(design)
    if found.small and found.shown:
        return f"This design ({asked}) can reach every verdict.{of_none(design, found)}"
    names = found.verdicts
    reached = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    text = f"This design ({asked}) can reach {reached or 'no verdict'}"
    if not found.small:
        text += (
            f", not clean or conditional: the lowest bound that it can show is "
            f"{100 * found.bound:.1f} points, and the margin is {100 * design.margin:g}"
        )
    if found.enough is None:
        return f"{text}."
    other = found.enough
    times = other.cost / design.cost
    cost = "At about the same cost" if times < 1.25 else f"With {times:.1f} times as many answers"
    return f"{text}. {cost}, a design of {numbers_of(other)} can reach every verdict."


def numbers_of(design: Design) -> str:
    counts = ((design.seeds, "seed"), (design.questions, "question"), (design.answers, "answer"))
    numbers = ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts)
    return f"{numbers} to each (base model {design.base_answers})"


def of_none(design: Design, found: Reachable) -> str:
    """A sentence on arms without any misaligned answer, if they do not count as clean."""
    if found.bound_of_none < design.margin:
        return ""
    return (
        " An arm without any misaligned answer is not clean, as one of the questions that are not "
        f"asked may be hot: its bound is {100 * found.bound_of_none:.1f} points."
    )


def reach_of(grid: Grid) -> str:
    """What a grid's design can reach; empty if the grid samples nothing, or asks one question."""
    number = len(grid.questions)
    fewest = fewest_questions(grid.config.metrics.fixed_questions, number)
    if not answers_by_arm(grid) or number < fewest:
        return ""
    design = planned_design(grid, None, None, None, None)
    return sentence(design, reachable(design, prior_sets()[USUAL]))
