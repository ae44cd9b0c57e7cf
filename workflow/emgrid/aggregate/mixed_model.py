"""A mixed logistic model of two cells of the grid that were asked the same questions.

The log-odds of an answer to question q by seed s in cell c (0 or 1) are

    m[c] + A[q, c] + U[s, c],    m = (mu - shift / 2, mu + shift / 2),

A[q] = (a - b / 2, a + b / 2): a random intercept of the question and its interaction with the cell,
and U[s] likewise for the seed: crossed random effects (Gelman & Hill 2007, chapters 11-14; Baayen,
Davidson & Bates 2008). Two kinds of pairs occur. An arm's cells under two triggers share its seeds.
Cells of two arms share the questions; each arm has its own seeds, whose rows have no trial in the
other cell. The base model is not trained, so its rows have no effect of the seed.

The four standard deviations have half-normal priors (Gelman 2006) and are integrated over a grid,
as 8 questions or 3 seeds do not determine them, and one seed tells nothing about its own. At each
node of the grid, the mode of all effects is found by Newton's method, and the marginal likelihood
and the covariance by Laplace's approximation (Tierney & Kadane 1986; Breslow & Clayton 1993; nested
over a grid: Rue, Martino & Chopin 2009). Given m and U, questions are independent, so that their
2x2 blocks are eliminated from Newton's system (Schur complement), which leaves 2 + 2 * seeds
unknowns. Arrays hold all pairs and all nodes in their last two axes.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import halfnorm

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
# The standard deviation of seeds of an arm that is not trained: as good as none.
UNTRAINED = 0.001


@dataclass(frozen=True)
class Spread:
    """A standard deviation of log-odds: the scale of its half-normal prior, and its nodes."""

    scale: float
    nodes: tuple[float, ...]

    def masses(self) -> Floats:
        """The prior's mass around each node, up to half-way to its neighbours."""
        nodes = np.array(self.nodes)
        edges = np.concatenate([[0], (nodes[1:] + nodes[:-1]) / 2, [np.inf]])
        masses: Floats = np.diff(halfnorm.cdf(edges, scale=self.scale))
        return masses


@dataclass(frozen=True)
class Priors:
    """Priors of the model, all on the scale of log-odds.

    mean, mean_spread: of the intercept mu. shift_spread: of the shift, whose mean is zero.
    """

    mean: float = -3.0
    mean_spread: float = 3.0
    shift_spread: float = 3.0
    questions: Spread = Spread(1.5, (0.3, 0.8, 1.3, 1.9, 2.7))
    question_shifts: Spread = Spread(1.2, (0.1, 0.6, 1.2, 2.0))
    seeds: Spread = Spread(0.7, (0.1, 0.5, 1.1))
    seed_shifts: Spread = Spread(0.8, (0.05, 0.4, 1.0, 2.0))

    def grid(self, trained: bool) -> "Grid":
        """The nodes and their prior masses; without seeds' effects if no seed is trained."""
        seeds = [self.seeds, self.seed_shifts] if trained else [Spread(1, (0.0,))] * 2
        spreads = [self.questions, self.question_shifts, *seeds]
        nodes = np.array(list(product(*(spread.nodes for spread in spreads))))
        masses = np.array(list(product(*(spread.masses() for spread in spreads)))).prod(axis=1)
        return Grid(nodes[:, :2], nodes[:, 2:], np.log(masses))


def variance(spreads: Floats) -> Floats:
    """Variance of an intercept plus or minus half a shift. spreads: their standard deviations,
    shape (nodes, 2). Shape (nodes,)."""
    return spreads[:, 0] ** 2 + spreads[:, 1] ** 2 / 4


def precision(spreads: Floats) -> Floats:
    """The inverse of the covariance of an intercept plus and minus half a shift: its diagonal,
    whose elements are equal, and the element off it, shape (2, nodes)."""
    common, half = 0.25 / spreads[:, 0] ** 2, 1 / spreads[:, 1] ** 2
    return np.array([common + half, common - half])


@dataclass(frozen=True)
class Grid:
    """Standard deviations of questions and of seeds, each of shape (nodes, 2) for intercept and
    shift, and the logarithm of their prior masses, shape (nodes,)."""

    questions: Floats
    seeds: Floats
    log_masses: Floats

    def by_questions(self) -> Integers:
        """Indices of the nodes, shape (spreads of questions, spreads of seeds). Nodes with the same
        spreads of questions follow each other."""
        same = (self.questions == self.questions[0]).all(axis=1).sum()
        return np.arange(self.log_masses.size).reshape(-1, int(same))

    def totals(self, trained: tuple[bool, bool]) -> Floats:
        """Variance of the log-odds over questions and seeds in each cell, shape (2, nodes)."""
        return variance(self.questions) + self.of_seeds(trained)

    def of_seeds(self, trained: tuple[bool, bool]) -> Floats:
        """Variance of the log-odds over seeds in each cell, shape (2, nodes)."""
        variances: Floats = variance(self.seeds) * np.array(trained)[:, None]
        return variances


@dataclass(frozen=True)
class Tables:
    """Successes and trials of several pairs, shape (2, seeds, questions, pairs); `trained` says
    whether each row of seeds has an effect of the seed."""

    successes: Floats
    trials: Floats
    trained: tuple[bool, ...]

    def trained_cells(self) -> tuple[bool, bool]:
        """Whether each of the two cells is of a trained arm. Rows of two arms have trials in one
        cell each, the same in all pairs."""
        first, second = (
            any(
                trained and bool(self.trials[cell, row].any())
                for row, trained in enumerate(self.trained)
            )
            for cell in (0, 1)
        )
        return first, second
