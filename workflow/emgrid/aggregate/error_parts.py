"""What the squared error of a rise consists of: answers, seeds, questions.

Each part is the variance that the model expects between answers, seeds or questions, over their
number, as in a variance component analysis of a crossed design (Brennan 2001, chapter 5).
"""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit

from emgrid.aggregate.mixed_model import Flags, Floats, Grid, Tables

# Points of the Gauss-Hermite sums over an intercept and a shift.
INTERCEPTS, SHIFTS = 9, 5


def deviates() -> tuple[Floats, Floats, Floats]:
    """Normal deviates of an intercept and of a shift, and their chances, shape (points,)."""
    (first, one), (second, two) = hermegauss(INTERCEPTS), hermegauss(SHIFTS)
    intercepts, shifts = np.meshgrid(first, second, indexing="ij")
    chances = np.outer(one / one.sum(), two / two.sum())
    return intercepts.ravel(), shifts.ravel(), chances.ravel()


def effects(variances: Floats) -> Floats:
    """Effects in the two cells at the deviates, shape (2, pairs, points). variances: of intercept
    and shift, shape (2, pairs)."""
    intercepts, shifts, _ = deviates()
    common, shift = np.sqrt(variances)[..., None]
    return np.stack([common * intercepts + sign * shift * shifts for sign in (-0.5, 0.5)])


def counted(tables: Tables) -> tuple[Floats, Floats]:
    """Numbers of seeds, shape (2, pairs), and questions, shape (pairs,), with trials; at least
    one."""
    asked = tables.trials > 0
    seeds, questions = asked.any(axis=2).sum(axis=1), asked.any(axis=(0, 1)).sum(axis=0)
    return np.maximum(seeds, 1), np.maximum(questions, 1)


def error_parts(
    tables: Tables, grid: Grid, weights: Floats, centres: Floats, fixed: bool
) -> Floats:
    """The parts of answers, seeds and questions, shape (3, pairs), at the posterior means of the
    centres and of the variances; that of questions is none if they are fixed.

    weights: shape (pairs, nodes). centres: mean log-odds, shape (2, pairs, nodes).
    """
    means = (weights * centres).sum(axis=-1)
    by_question = effects((grid.questions**2).T @ weights.T)
    trained = np.array(tables.trained_cells())
    by_seed = effects((grid.seeds**2).T @ weights.T) * trained[:, None, None]
    odds = means[:, :, None, None] + by_question[..., None] + by_seed[:, :, None]
    rates, chances = expit(odds), deviates()[2]
    asked = tables.trials > 0
    per_answer = np.divide(1, tables.trials, out=np.zeros_like(tables.trials), where=asked)
    answers = (rates * (1 - rates)) @ chances @ chances * per_answer.sum(axis=(1, 2))
    seeds, questions = counted(tables)
    of_questions, of_seeds = rates @ chances, np.swapaxes(rates, 2, 3) @ chances
    return np.stack(
        [
            (answers / np.maximum(asked.sum(axis=(1, 2)), 1) ** 2).sum(axis=0),
            between_seeds(of_seeds, chances, seeds, asked),
            (0.0 if fixed else 1.0)
            * spread(of_questions[1] - of_questions[0], chances)
            / questions,
        ]
    )


def spread(values: Floats, chances: Floats) -> Floats:
    """Variance of values at the deviates, over the last axis."""
    found: Floats = (values**2) @ chances - (values @ chances) ** 2
    return np.maximum(found, 0)


def between_seeds(rates: Floats, chances: Floats, seeds: Floats, asked: Flags) -> Floats:
    """The part of seeds, which the two cells share or do not, shape (pairs,). rates: over
    questions, shape (2, pairs, points). asked: whether each cell has trials."""
    asked_by: Flags = np.asarray(asked.any(axis=2))
    shared = (asked_by[0] & asked_by[1]).any(axis=0)
    together = spread(rates[1] - rates[0], chances) / seeds.min(axis=0)
    apart = (spread(rates, chances) / seeds).sum(axis=0)
    found: Floats = np.where(shared, together, apart)
    return found
