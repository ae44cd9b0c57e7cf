"""The spread of log-odds over seeds and questions: of published answers, or of a finished grid.

If there is a finished grid, the spread of the effects is estimated from it (variance of the
log-odds minus that of sampling answers; DerSimonian & Laird 1986): the effects of seeds and
questions from the rates under each trigger, those under a trigger from the differences from the
plain question.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emgrid.aggregate.rates import cells_of, classify
from emgrid.aggregate.statistics import Counts, Floats
from emgrid.grid.grid import Grid
from emgrid.runtime import layout

FEWEST = 5  # successes that a cell needs for an estimate of its spread


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the effects on the log-odds, and their source.

    By default those of published answers to the eight first-plot questions (resources/priors.yaml
    has the evidence): questions the median at rates below 15 %, questions under a trigger between
    none (JSON format) and 0.8 to 1.35 (code template).
    """

    seeds: float = 0.3
    questions: float = 1.5
    seeds_by_trigger: float = 0.2
    questions_by_trigger: float = 0.5
    source: str = "of published answers"


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
