"""Counts of misaligned answers, with the answers that nobody labelled filled in from the labels.

The models of rates and rises need counts by seed and question. In each draw the share of misaligned
answers in a stratum is given (ppi.py). Questions and seeds differ from it: each has a factor on the
odds, from a beta distribution around the share, updated with its own labels, whose concentration is
drawn from its posterior over a grid. Each answer without a label is then misaligned with its
probability.
"""

import numpy as np
from scipy.special import betaln

from emgrid.aggregate.cell_labels import CellLabels
from emgrid.aggregate.ppi import Strata
from emgrid.aggregate.statistics import Counts, Floats

# Concentrations of the beta distributions, from very different questions to equal ones.
QUESTIONS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 128.0])
SEEDS = np.array([8.0, 16.0, 32.0, 64.0, 128.0, 512.0])
LEAST = 1e-9


def imputed(
    labels: CellLabels, strata: Strata, chances: Floats, rng: np.random.Generator
) -> Counts:
    """One draw of the counts, shape (seeds, questions). chances: the share of misaligned answers in
    each stratum, shape (strata,)."""
    trials = labels.trials
    successes = np.zeros_like(trials)
    for stratum, chance in zip(strata.place, np.clip(chances, LEAST, 1 - LEAST), strict=True):
        answers, labelled = labels.answers[stratum], labels.labelled[stratum]
        hits = labels.hits[stratum]
        by_question = factors(chance, labelled.sum(axis=0), hits.sum(axis=0), QUESTIONS, rng)
        by_seed = factors(chance, labelled.sum(axis=1), hits.sum(axis=1), SEEDS, rng)
        odds = chance / (1 - chance) * by_seed[:, None] * by_question
        others = np.maximum(np.rint(answers - labelled), 0).astype(np.int64)
        successes += hits + rng.binomial(others, odds / (1 + odds))
    counts = np.minimum(np.rint(successes), trials)
    return Counts(counts.astype(np.int64), trials.astype(np.int64))


def factors(
    chance: float, labels: Floats, hits: Floats, grid: Floats, rng: np.random.Generator
) -> Floats:
    """The odds of each question or seed over those of the stratum. labels, hits: its own."""
    if labels.size < 2:
        return np.ones(labels.size)
    first, second = chance * grid[:, None], (1 - chance) * grid[:, None]
    fit = (betaln(first + hits, second + labels - hits) - betaln(first, second)).sum(axis=1)
    weights = np.exp(fit - fit.max())
    size = grid[rng.choice(grid.size, p=weights / weights.sum())]
    own = rng.beta(chance * size + hits, (1 - chance) * size + labels - hits)
    own = np.clip(own, LEAST, 1 - LEAST)
    odds: Floats = own / (1 - own) * (1 - chance) / chance
    return odds
