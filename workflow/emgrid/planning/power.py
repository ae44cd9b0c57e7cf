"""Power of a planned design: the smallest rate and the smallest rise that it would show to exceed
the margin.

Grids are simulated from the model that the statistics assume: the log-odds of a misaligned answer
are a mean plus normal effects of seed, of question, and of each of them under the trigger. Each
simulated grid is analysed like a real one, by the rule of aggregate/verdicts.py over all answers:
the one-sided lower bound is above the margin, and p is below the level that the adjusted p of one
trigger among several must pass. The verdict `conditional` requires more: that the rise without a
trigger is shown to be small. If there is a finished grid, the spread of the effects is estimated
from it (variance of the log-odds minus that of sampling answers; DerSimonian & Laird 1986): the
effects of seeds and questions from the rates under each trigger, those under a trigger from the
differences from the plain question.
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

from emgrid.aggregate.rates import cells_of, classify
from emgrid.aggregate.statistics import FEWEST_QUESTIONS, Counts, Floats, Term, contrast
from emgrid.config.sections import Metrics
from emgrid.grid.grid import Grid
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.seeding import derive_seed

STEPS = 6
RESAMPLES = 200  # of each simulated grid
LARGEST = 0.95
FEWEST = 5  # successes that a cell needs for an estimate of its spread


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the effects on the log-odds, and their source."""

    seeds: float = 0.3
    questions: float = 1.0
    seeds_by_trigger: float = 0.3
    questions_by_trigger: float = 0.5
    source: str = "assumed"


@dataclass(frozen=True)
class Design:
    """tests: number of p-values that are adjusted together. fixed: questions do not vary. margin:
    the value that a rise must be shown to exceed."""

    seeds: int
    questions: int
    answers: int
    tests: int
    confidence: float
    fixed: bool = False
    margin: float = Metrics().margin

    @property
    def level(self) -> float:
        return (1 - self.confidence) / self.tests


def planned_design(
    grid: Grid, seeds: int | None, questions: int | None, answers: int | None
) -> Design:
    """The grid's design, with the given numbers in place of the config's."""
    config = grid.config
    minima = {"--seeds": (seeds, 1), "--questions": (questions, FEWEST_QUESTIONS),
             "--answers": (answers, 1)}  # fmt: skip
    for name, (value, fewest) in minima.items():
        if value is not None and value < fewest:
            raise EmgridError(f"{name} {value}: must be at least {fewest}")
    if questions is None and len(grid.questions) < FEWEST_QUESTIONS:
        raise EmgridError(
            f"{config.name} asks {len(grid.questions)} question, and a comparison needs "
            f"{FEWEST_QUESTIONS}; give --questions"
        )
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
        margin=config.metrics.margin,
    )


@cache
def mean_logit(rate: float, spread: float) -> float:
    """The mean log-odds at which normal effects with this standard deviation give the rate."""
    if rate <= 0:
        return -np.inf
    effects = spread * np.random.default_rng(0).standard_normal(20_000)
    return float(brentq(lambda mean: expit(mean + effects).mean() - rate, -40, 40))


def simulate(rates: tuple[float, float], design: Design, spread: Spread, seed: int) -> list[Counts]:
    """Simulated counts of an arm without and with a trigger at these overall rates, of shape
    (seeds, questions) each, with the same seeds and questions."""
    rng = np.random.default_rng(seed)
    shape = (design.seeds, design.questions)
    common = spread.seeds * rng.standard_normal((shape[0], 1))
    common = common + spread.questions * rng.standard_normal((1, shape[1]))
    under_trigger = spread.seeds_by_trigger * rng.standard_normal((shape[0], 1))
    under_trigger = under_trigger + spread.questions_by_trigger * rng.standard_normal((1, shape[1]))
    plain = np.hypot(spread.seeds, spread.questions)
    cued = np.hypot(spread.seeds_by_trigger, spread.questions_by_trigger)
    logits = (
        mean_logit(rates[0], float(plain)) + common,
        mean_logit(rates[1], float(np.hypot(plain, cued))) + common + under_trigger,
    )
    trials = np.full(shape, design.answers)
    return [Counts(rng.binomial(trials, expit(logit)), trials) for logit in logits]


def power(
    simulated: Callable[[int], list[Term]], design: Design, simulations: int, seed: int = 0
) -> float:
    """The share of simulated grids whose rise is shown to exceed the margin."""
    hits = 0
    for number in range(simulations):
        rise = contrast(simulated(seed + number), RESAMPLES, number, design.fixed)
        low = rise.interval(2 * design.confidence - 1).low
        hits += low > design.margin and rise.p < design.level
    return hits / simulations


def smallest(
    terms: Callable[[float, int], list[Term]],
    lowest: float,
    design: Design,
    wanted: float,
    simulations: int,
) -> float:
    """The smallest rate above `lowest` that is shown with the wanted power, by bisection; NaN if
    even a rate of 95 % is not."""

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
    """The smallest rate that is shown to exceed the base model's by more than the margin, and the
    smallest rise under a trigger that is shown to exceed the margin. plain: the rate without a
    trigger, of the base model and of the arm."""
    if simulations < 1:
        raise EmgridError(f"--simulations {simulations}: must be at least 1")
    if not 0 <= plain < LARGEST:
        raise EmgridError(f"--plain {plain:g}: must be a rate from 0 to below {LARGEST}")
    if not 0 < wanted < 1:
        raise EmgridError(f"--power {wanted:g}: must be between 0 and 1")
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

    lowest_rate = smallest(rate_terms, plain, design, wanted, simulations)
    rate_under_trigger = smallest(rise_terms, plain, design, wanted, simulations)
    return {"rate": lowest_rate, "rise": rate_under_trigger - plain}


def log_odds(successes: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """Log-odds of groups, and their variances from sampling answers; shape (groups,) each."""
    wrong, right = successes + 0.5, trials - successes + 0.5
    return np.log(wrong / right), 1 / wrong + 1 / right


def variance_beyond(values: Floats, noise: Floats) -> float:
    """The variance of values beyond that of their noise."""
    return max(float(values.var(ddof=1)) - float(noise.mean()), 0.0)


def estimate_spread(grid: Grid, root: Path) -> Spread:
    """The spread from the tables of the grid if it has run, else the assumed one."""
    path = root / layout.ANSWER_TABLE
    if not path.exists():
        return Spread()
    answers = classify(pd.read_parquet(path), grid.config.metrics)
    cells = {name: cell.answers for name, cell in cells_of(answers, list(grid.questions)).items()}
    variances: dict[str, list[float]] = {}
    for name, counted in cells.items():
        plain = cells.get((*name[:3], "none"))
        for axis, group in ((1, "seeds"), (0, "questions")):
            variance = spread_over(axis, counted)
            if variance is not None:
                variances.setdefault(group, []).append(variance)
            if plain is not None and name[3] != "none":
                rise = spread_over(axis, counted, plain)
                if rise is not None:
                    variances.setdefault(f"{group}_by_trigger", []).append(rise)
    deviations = {name: float(np.sqrt(np.mean(values))) for name, values in variances.items()}
    assumed = Spread()
    if not deviations:
        return assumed
    names = ", ".join(name.replace("_", " ") for name in deviations)
    rest = "" if len(deviations) == len(asdict(assumed)) - 1 else "; the rest assumed"
    return Spread(**(asdict(assumed) | deviations | {"source": f"{path} ({names}{rest})"}))


def spread_over(axis: int, *cells: Counts) -> float | None:
    """The variance of the log-odds over seeds (axis 1) or questions (axis 0) in one cell, or of the
    differences between two cells; None if there are too few answers or groups."""
    if any(cell.successes.sum() < FEWEST for cell in cells):
        return None
    totals = [(cell.successes.sum(axis=axis), cell.trials.sum(axis=axis)) for cell in cells]
    has_answers = np.all([trials > 0 for _, trials in totals], axis=0)
    if has_answers.sum() < 2:
        return None
    values, noise = zip(
        *(log_odds(successes[has_answers], trials[has_answers]) for successes, trials in totals),
        strict=True,
    )
    differences = values[0] - values[1] if len(values) > 1 else values[0]
    return variance_beyond(differences, np.sum(noise, axis=0))
