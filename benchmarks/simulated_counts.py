"""Counts of misaligned answers of made-up grids, of which the true rates are known.

The log-odds of an answer are a sum of a centre, an effect of the question and one of the seed, and
under the trigger of two more, the interactions. The centre is solved for, so that the mean rate
over questions and seeds is exactly the given one.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Effects that stand for the population when the centre is solved for.
POPULATION = 200_000
# In `zero-inflated`, the share of questions that ever get a misaligned answer.
HOT = 1 / 15
Kind = Literal["normal", "t3", "zero-inflated"]


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
    rng: np.random.Generator, spread: Spread, shape: tuple[int, int, int], kind: Kind
) -> tuple[Floats, Floats]:
    """Log-odds without and with the trigger, less the centre; shape (grids, seeds, questions)."""
    grids, seeds, questions = shape
    by_question, by_seed = (grids, 1, questions), (grids, seeds, 1)
    plain = spread.questions * deviates(rng, by_question, kind)
    plain = plain + spread.seeds * deviates(rng, by_seed, kind)
    shift = spread.question_shifts * deviates(rng, by_question, kind)
    return plain, plain + shift + spread.seed_shifts * deviates(rng, by_seed, kind)


def centre(rate: float, effects_: Floats) -> float:
    """The centre at which the mean rate over these effects is this."""
    return float(brentq(lambda centre_: expit(centre_ + effects_).mean() - rate, -60, 60))


def simulate(
    rng: np.random.Generator,
    spread: Spread,
    rates: tuple[float, float],
    design: Design,
    grids: int,
    kind: Kind = "normal",
) -> Integers:
    """Successes without and with the trigger, shape (grids, 2, seeds, questions)."""
    shape = (grids, design.seeds, design.questions)
    drawn = effects(rng, spread, shape, kind)
    population = effects(np.random.default_rng(0), spread, (POPULATION, 1, 1), kind)
    share = HOT if kind == "zero-inflated" else 1.0
    hot = rng.random((grids, 1, design.questions)) < share
    cells = [
        rng.binomial(design.answers, expit(centre(rate / share, everywhere) + own) * hot)
        for rate, own, everywhere in zip(rates, drawn, population, strict=True)
    ]
    return np.stack(cells, axis=1)
