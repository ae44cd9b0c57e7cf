"""Counts of misaligned answers of made-up grids, of which the true rates are known.

The log-odds of an answer are a sum of a centre, an effect of the question and one of the seed, and
under a trigger of two more, the interactions. The centre is solved for, so that the mean rate
over questions and seeds is exactly the given one.
"""

import argparse
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from emgrid.aggregate.estimates import Side
from emgrid.aggregate.statistics import Counts
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Effects that stand for the population when the centre is solved for.
POPULATION = 200_000
# Kinds with questions that never get a misaligned answer. In `zero-inflated` the others have this
# mean rate; in `one in fifteen` they are this share of all questions.
HOT_RATE, HOT_SHARE = 0.3, 1 / 15
Kind = Literal["normal", "t3", "zero-inflated", "one in fifteen"]


def options_of(description: str | None, grids: int) -> argparse.Namespace:
    """The options of a simulation. description: the docstring of its script, whose first line is
    shown. grids: the default number."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--grids", type=int, default=grids, help="simulated grids of each case")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    return parser.parse_args()


class Spread(NamedTuple):
    """Standard deviations of log-odds: of questions, their interaction with the trigger, seeds,
    their interaction with the trigger."""

    questions: float
    question_shifts: float
    seeds: float
    seed_shifts: float


SPREADS = {
    "calm": Spread(1.0, 0.25, 0.3, 0.15),
    "usual": Spread(1.5, 0.5, 0.3, 0.2),
    "rough": Spread(2.0, 1.0, 0.6, 0.6),
}


class Design(NamedTuple):
    seeds: int
    questions: int
    answers: int


def deviates(rng: np.random.Generator, shape: tuple[int, ...], kind: Kind) -> Floats:
    """Deviates with variance one: normal, or Student's with three degrees of freedom."""
    if kind == "t3":
        return rng.standard_t(3, shape) / np.sqrt(3)
    return rng.standard_normal(shape)


def effects(
    rng: np.random.Generator, spread: Spread, shape: tuple[int, int, int], triggers: int, kind: Kind
) -> list[Floats]:
    """Log-odds without a trigger and with each, less the centre; shape (grids, seeds, questions)
    each."""
    grids, seeds, questions = shape
    by_question, by_seed = (grids, 1, questions), (grids, seeds, 1)
    plain = spread.questions * deviates(rng, by_question, kind)
    plain = plain + spread.seeds * deviates(rng, by_seed, kind)
    found = [plain]
    for _ in range(triggers):
        shift = spread.question_shifts * deviates(rng, by_question, kind)
        found.append(plain + shift + spread.seed_shifts * deviates(rng, by_seed, kind))
    return found


@cache
def population(spread: Spread, kind: Kind) -> list[Floats]:
    """Effects without a trigger and with one, of which every trigger has the same distribution."""
    return effects(np.random.default_rng(0), spread, (POPULATION, 1, 1), 1, kind)


@cache
def centre(rate: float, spread: Spread, kind: Kind, cued: bool) -> float:
    """The centre at which the mean rate over the population is this."""
    everywhere = population(spread, kind)[cued]
    return float(brentq(lambda centre_: expit(centre_ + everywhere).mean() - rate, -60, 60))


def simulate(
    rng: np.random.Generator,
    spread: Spread,
    rates: Sequence[float],
    design: Design,
    grids: int,
    kind: Kind = "normal",
) -> Integers:
    """Successes without a trigger and with each, shape (grids, rates, seeds, questions)."""
    shape = (grids, design.seeds, design.questions)
    drawn = effects(rng, spread, shape, len(rates) - 1, kind)
    order = rng.random((grids, 1, design.questions))
    cells = []
    for number, (rate, own) in enumerate(zip(rates, drawn, strict=True)):
        share = hot_share(rate, kind)
        middle = centre(rate / share, spread, kind, number > 0)
        chances = expit(middle + own) * (order < share)
        cells.append(rng.binomial(design.answers, chances))
    return np.stack(cells, axis=1)


def hot_share(rate: float, kind: Kind) -> float:
    """The share of questions that ever get a misaligned answer."""
    if kind == "zero-inflated":
        return min(rate / HOT_RATE, 1.0)
    return HOT_SHARE if kind == "one in fifteen" else 1.0


def untrained(spread: Spread) -> Spread:
    """The spread of a base model, which has no seeds that differ."""
    return spread._replace(seeds=0.0, seed_shifts=0.0)


def once(design: Design) -> Design:
    """The design of a base model that is asked as often as all seeds of an arm together."""
    return Design(1, design.questions, design.seeds * design.answers)


def name_of(design: Design) -> str:
    return "x".join(map(str, design))


def counts(successes: Integers, answers: int) -> Counts:
    return Counts(successes, np.full(successes.shape, answers))


def sides_of(cells: Integers, design: Design, arm: str = "arm") -> list[Side]:
    """The cells of one arm of a grid, shape (cells, seeds, questions), as sides of comparisons."""
    seeds = tuple(range(design.seeds))
    name = ("", arm, "")
    return [Side(counts(cell, design.answers), seeds, name, arm != "base") for cell in cells]
