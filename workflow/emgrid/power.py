"""What a planned design can tell: the smallest rate and the smallest rise that it would show.

Grids are simulated from the model that the statistics assume: the log-odds of a misaligned answer
are a mean plus effects of seed, of question, and of question under the trigger, all normal. Each
is analysed as a real grid would be (the p of statistics.py), at the level that the adjusted p of
one trigger among several must pass. The effects' spread is estimated from a finished grid where
there is one (moments of the log-odds, less what answers alone would scatter; DerSimonian & Laird
1986).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from emgrid.errors import EmgridError
from emgrid.grid import Grid
from emgrid.rates import cells_of, classify
from emgrid.seeds import derive_seed
from emgrid.statistics import Counts, Floats, Term, differences, sign_flip_p

STEPS = 6
LARGEST = 0.95
FEWEST = 5  # successes of a cell that says something of its spread


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the effects on the log-odds, and where they are from."""

    seeds: float = 0.3
    questions: float = 1.0
    triggers: float = 0.5
    source: str = "assumed"


@dataclass(frozen=True)
class Design:
    """tests: triggers whose p-values are adjusted together. fixed: questions do not vary."""

    seeds: int
    questions: int
    answers: int
    tests: int
    confidence: float
    fixed: bool = False

    @property
    def level(self) -> float:
        return (1 - self.confidence) / self.tests


def planned_design(
    grid: Grid, seeds: int | None, questions: int | None, answers: int | None
) -> Design:
    """The grid's own design where nothing else is asked for."""
    config = grid.config
    for name, value in (("--seeds", seeds), ("--questions", questions), ("--answers", answers)):
        if value is not None and value < 1:
            raise EmgridError(f"{name} {value}: must be at least 1")
    if answers is None and config.sampling is not None:
        answers = config.sampling.answers_per_question
    if answers is None:
        raise EmgridError(f"{config.name} samples nothing; give --answers")
    return Design(
        seeds=seeds or max(len(config.seeds), 1),
        questions=questions or len(grid.questions),
        answers=answers,
        tests=len(grid.triggers),
        confidence=config.metrics.confidence,
        fixed=config.metrics.fixed_questions,
    )


@cache
def mean_logit(rate: float, spread: float) -> float:
    """The mean log-odds at which normal effects of that spread give the rate."""
    if rate <= 0:
        return -np.inf
    effects = spread * np.random.default_rng(0).standard_normal(20_000)
    return float(brentq(lambda mean: expit(mean + effects).mean() - rate, -40, 40))


def simulate(rates: tuple[float, float], design: Design, spread: Spread, seed: int) -> list[Counts]:
    """Counts of an arm without and with a trigger, at those overall rates, of shape (seeds,
    questions) each, with seeds and questions in common."""
    rng = np.random.default_rng(seed)
    shape = (design.seeds, design.questions)
    common = spread.seeds * rng.standard_normal((shape[0], 1))
    common = common + spread.questions * rng.standard_normal((1, shape[1]))
    own = spread.triggers * rng.standard_normal((1, shape[1]))
    plain = np.hypot(spread.seeds, spread.questions)
    logits = (
        mean_logit(rates[0], float(plain)) + common,
        mean_logit(rates[1], float(np.hypot(plain, spread.triggers))) + common + own,
    )
    trials = np.full(shape, design.answers)
    return [Counts(rng.binomial(trials, expit(each)), trials) for each in logits]


def power(
    shown: Callable[[int], list[Term]], design: Design, simulations: int, seed: int = 0
) -> float:
    """How often the terms of a simulated grid have a rise with a p below the level."""
    hits = 0
    for number in range(simulations):
        found = differences(shown(seed + number), design.fixed)
        hits += bool(np.nanmean(found) > 0) and sign_flip_p(found, number) < design.level
    return hits / simulations


def smallest(
    terms: Callable[[float, int], list[Term]],
    lowest: float,
    design: Design,
    wanted: float,
    simulations: int,
) -> float:
    """The smallest rate above `lowest` that is shown with the wanted power; NaN where even a rate
    of 95 % is not."""

    def shown(rate: float) -> float:
        return power(lambda number: terms(rate, number), design, simulations)

    low, high = lowest, LARGEST
    if shown(high) < wanted:
        return np.nan
    for _ in range(STEPS):
        middle = float(np.sqrt(max(low, 1e-4) * high))
        low, high = (low, middle) if shown(middle) >= wanted else (middle, high)
    return high


def smallest_effects(
    design: Design, spread: Spread, plain: float, wanted: float, simulations: int
) -> dict[str, Any]:
    """The smallest rate that is told from the base model's, and the smallest rise under a trigger
    that is told from none, where the plain rate (of the base model, and of the arm) is `plain`."""
    once = replace(design, seeds=1)

    def rate_terms(rate: float, number: int) -> list[Term]:
        seed = derive_seed("power", number)
        base = simulate((plain, plain), once, spread, seed)[0]
        return [Term(1, simulate((rate, rate), design, spread, seed)[0], "arm"), Term(-1, base, "")]

    def rise_terms(rate: float, number: int) -> list[Term]:
        seed = derive_seed("power", number)
        base = simulate((plain, plain), once, spread, seed)
        arm = simulate((plain, rate), design, spread, seed)
        return [
            Term(1, arm[1], "arm"), Term(-1, arm[0], "arm"), Term(-1, base[1], ""),
            Term(1, base[0], ""),
        ]  # fmt: skip

    found = smallest(rate_terms, plain, design, wanted, simulations)
    risen = smallest(rise_terms, plain, design, wanted, simulations)
    return {"rate": found, "rise": risen - plain}


def spread_of(rates: Floats, trials: Floats) -> float:
    """Standard deviation of log-odds beyond that of drawing answers; both of shape (groups,)."""
    wrong, right = rates * trials + 0.5, (1 - rates) * trials + 0.5
    seen = float(np.log(wrong / right).var(ddof=1))
    return max(seen - float((1 / wrong + 1 / right).mean()), 0.0)


def estimate_spread(grid: Grid, root: Path) -> Spread:
    """From the tables of the grid where it has run, else what is assumed."""
    path = root / "tables/answers.parquet"
    if not path.exists():
        return Spread()
    answers = classify(pd.read_parquet(path), grid.config.metrics)
    found: dict[str, list[float]] = {"seeds": [], "questions": []}
    for cell in cells_of(answers, list(grid.questions)).values():
        counted = cell.answers
        if counted.successes.sum() < FEWEST:
            continue
        for axis, name in ((1, "seeds"), (0, "questions")):
            trials = counted.trials.sum(axis=axis).astype(float)
            if len(trials) > 1 and trials.all():
                found[name].append(spread_of(counted.successes.sum(axis=axis) / trials, trials))
    usual = Spread()
    known = {name: float(np.sqrt(np.mean(each))) for name, each in found.items() if each}
    if not known:
        return usual
    told = " and ".join(known)
    return Spread(**(asdict(usual) | known | {"source": f"{path} ({told}; the rest assumed)"}))
