"""What a planned design can tell: the smallest rate and the smallest rise that it would show to
exceed the margin.

Grids are simulated from the model that the statistics assume: the log-odds of a misaligned answer
are a mean plus effects of seed, of question, and of each of them under the trigger, all normal.
Each is analysed as a real grid would be, by the rule of verdicts.py over all answers: the one-sided
lower bound lies above the margin, and p is below the level that the adjusted p of one trigger among
several must pass. The verdict `conditional` asks for more: that without a trigger the rise is shown
to be small. The effects' spread is estimated from a finished grid where there is one (moments of
the log-odds, less what answers alone would scatter; DerSimonian & Laird 1986): of seeds and
questions from the rates under each trigger, of both under a trigger from what they differ from the
plain question's.
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
FEWEST = 5  # successes of a cell that says something of its spread


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the effects on the log-odds, and where they are from."""

    seeds: float = 0.3
    questions: float = 1.0
    seeds_by_trigger: float = 0.3
    questions_by_trigger: float = 0.5
    source: str = "assumed"


@dataclass(frozen=True)
class Design:
    """tests: triggers whose p-values are adjusted together. fixed: questions do not vary. margin:
    what a rise must be shown to exceed."""

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
    """The grid's own design where nothing else is asked for."""
    config = grid.config
    least = {"--seeds": (seeds, 1), "--questions": (questions, FEWEST_QUESTIONS),
             "--answers": (answers, 1)}  # fmt: skip
    for name, (value, fewest) in least.items():
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
    own = spread.seeds_by_trigger * rng.standard_normal((shape[0], 1))
    own = own + spread.questions_by_trigger * rng.standard_normal((1, shape[1]))
    plain = np.hypot(spread.seeds, spread.questions)
    cued = np.hypot(spread.seeds_by_trigger, spread.questions_by_trigger)
    logits = (
        mean_logit(rates[0], float(plain)) + common,
        mean_logit(rates[1], float(np.hypot(plain, cued))) + common + own,
    )
    trials = np.full(shape, design.answers)
    return [Counts(rng.binomial(trials, expit(each)), trials) for each in logits]


def power(
    shown: Callable[[int], list[Term]], design: Design, simulations: int, seed: int = 0
) -> float:
    """How often the rise of a simulated grid is shown to exceed the margin."""
    hits = 0
    for number in range(simulations):
        found = contrast(shown(seed + number), RESAMPLES, number, design.fixed)
        low = found.interval(2 * design.confidence - 1).low
        hits += low > design.margin and found.p < design.level
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
    """The smallest rate that is shown to exceed the base model's by more than the margin, and the
    smallest rise under a trigger that is shown to exceed the margin, where the plain rate (of the
    base model, and of the arm) is `plain`."""
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

    found = smallest(rate_terms, plain, design, wanted, simulations)
    risen = smallest(rise_terms, plain, design, wanted, simulations)
    return {"rate": found, "rise": risen - plain}


def log_odds(successes: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """Log-odds of groups and the variance that drawing answers gives each; of shape (groups,)."""
    wrong, right = successes + 0.5, trials - successes + 0.5
    return np.log(wrong / right), 1 / wrong + 1 / right


def variance_beyond(values: Floats, noise: Floats) -> float:
    """What values vary beyond their noise."""
    return max(float(values.var(ddof=1)) - float(noise.mean()), 0.0)


def estimate_spread(grid: Grid, root: Path) -> Spread:
    """From the tables of the grid where it has run, else what is assumed."""
    path = root / layout.ANSWER_TABLE
    if not path.exists():
        return Spread()
    answers = classify(pd.read_parquet(path), grid.config.metrics)
    cells = {name: one.answers for name, one in cells_of(answers, list(grid.questions)).items()}
    found: dict[str, list[float]] = {}
    for name, counted in cells.items():
        plain = cells.get((*name[:3], "none"))
        for axis, group in ((1, "seeds"), (0, "questions")):
            own = spread_over(axis, counted)
            if own is not None:
                found.setdefault(group, []).append(own)
            if plain is not None and name[3] != "none":
                rise = spread_over(axis, counted, plain)
                if rise is not None:
                    found.setdefault(f"{group}_by_trigger", []).append(rise)
    known = {name: float(np.sqrt(np.mean(each))) for name, each in found.items()}
    usual = Spread()
    if not known:
        return usual
    told = ", ".join(name.replace("_", " ") for name in known)
    rest = "" if len(known) == len(asdict(usual)) - 1 else "; the rest assumed"
    return Spread(**(asdict(usual) | known | {"source": f"{path} ({told}{rest})"}))


def spread_over(axis: int, *cells: Counts) -> float | None:
    """The variance of the log-odds over seeds (axis 1) or questions (axis 0) of one cell, or of
    what they differ between two; None where there are too few answers or groups to tell."""
    if any(one.successes.sum() < FEWEST for one in cells):
        return None
    totals = [(one.successes.sum(axis=axis), one.trials.sum(axis=axis)) for one in cells]
    known = np.all([trials > 0 for _, trials in totals], axis=0)
    if known.sum() < 2:
        return None
    values, noise = zip(
        *(log_odds(successes[known], trials[known]) for successes, trials in totals), strict=True
    )
    differences = values[0] - values[1] if len(values) > 1 else values[0]
    return variance_beyond(differences, np.sum(noise, axis=0))
