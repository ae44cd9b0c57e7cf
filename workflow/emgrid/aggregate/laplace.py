"""Newton's method and Laplace's approximation for the mixed logistic model of `mixed_model`.

A problem is one pair at one node of the grid. Arrays hold the problems in their last axis, and the
two cells in their first. Problems that are solved leave the arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from emgrid.aggregate.mixed_model import (
    UNTRAINED,
    Flags,
    Floats,
    Grid,
    Integers,
    Priors,
    Tables,
    precision,
)

# Newton's step is shortened to at most this (log-odds). A problem is solved after a step below
# CLOSE, since the error is of the order of the square of the last step.
LONGEST_STEP, CLOSE, MOST_STEPS = 3.0, 0.03, 60
# Nodes whose evidence is about e^-FAR of the best one's are left out.
FAR = 14.0


@dataclass
class Effects:
    """Effects of rows, shape (2, 1 + seeds, problems), whose first row is the mean m, and of
    questions, shape (2, questions, problems)."""

    rows: Floats
    questions: Floats

    def odds(self) -> Floats:
        """Log-odds of each cell, shape (2, seeds, questions, problems)."""
        odds: Floats = (self.rows[:, :1] + self.rows[:, 1:])[:, :, None] + self.questions[:, None]
        return odds

    def of(self, problems: Flags | Integers) -> "Effects":
        return Effects(self.rows[..., problems], self.questions[..., problems])

    def plus(self, step: "Effects", share: Floats) -> "Effects":
        return Effects(self.rows + share * step.rows, self.questions + share * step.questions)


@dataclass
class Precision:
    """Precisions of pairs of effects in the two cells: of each alone, and between them; both of
    shape (effects, problems)."""

    own: Floats
    across: Floats

    def times(self, effects: Floats) -> Floats:
        """The matrices times effects, shape (2, effects, problems)."""
        return np.stack(
            [
                self.own * effects[0] + self.across * effects[1],
                self.across * effects[0] + self.own * effects[1],
            ]
        )

    def of(self, problems: Flags | Integers) -> "Precision":
        return Precision(self.own[:, problems], self.across[:, problems])


def factorise(matrix: Floats) -> Floats:
    """Cholesky factors of symmetric matrices, shape (n, n, problems), in their lower triangles, in
    place."""
    for column in range(matrix.shape[0]):
        np.sqrt(matrix[column, column], out=matrix[column, column])
        below = matrix[column + 1 :, column]
        below /= matrix[column, column]
        for row in range(below.shape[0]):
            matrix[column + 1 + row, column + 1 : column + 2 + row] -= below[row] * below[: row + 1]
    return matrix


def substitute(factor: Floats, right: Floats) -> Floats:
    """x of L L' x = right, for the factor of `factorise`, in place. right: (n, problems)."""
    for row in range(factor.shape[0]):
        right[row] /= factor[row, row]
        right[row + 1 :] -= factor[row + 1 :, row] * right[row]
    for row in reversed(range(factor.shape[0])):
        right[row] /= factor[row, row]
        right[:row] -= factor[row, :row] * right[row]
    return right


@dataclass
class Curvature:
    """The negative second derivative of the log posterior, in parts.

    weights: of rows and questions, shape (2, 1 + seeds, questions, problems), where row 0 sums the
    seeds. own, across: the inverse of the questions' 2x2 blocks, shapes (2, questions, problems)
    and (questions, problems). factor: of the Schur complement over seeds in cell 0, seeds in cell
    1, mean in both. log_determinant: of the whole, shape (problems,).
    """

    weights: Floats
    own: Floats
    across: Floats
    factor: Floats
    log_determinant: Floats

    def of(self, problems: Flags) -> "Curvature":
        names = ("weights", "own", "across", "factor", "log_determinant")
        return Curvature(*(getattr(self, name)[..., problems] for name in names))

    def of_questions(self, effects: Floats) -> Floats:
        """The inverse of the questions' blocks times effects, shape (2, questions, problems)."""
        return self.own * effects + self.across * effects[::-1]

    def solve(self, rows: Floats, questions: Floats) -> Effects:
        """The inverse of the whole, times a vector of the shape of the effects."""
        known = self.of_questions(questions)
        right = rows - np.einsum("crqn,cqn->crn", self.weights, known)
        seeds = right.shape[1] - 1
        flat = substitute(self.factor, np.concatenate([*right[:, 1:], right[:, 0]]))
        by_seed = flat[: 2 * seeds].reshape(2, seeds, -1)
        solved = np.concatenate([flat[2 * seeds :, None], by_seed], axis=1)
        back = np.einsum("crqn,crn->cqn", self.weights, solved)
        return Effects(solved, known - self.of_questions(back))

    def along(self, mode: Effects, rows: Floats, questions: Floats) -> tuple[Floats, Floats]:
        """Of two linear forms of the effects: their covariance, shape (2, 2, problems), and the
        negative third derivative of the log likelihood along each, all else at its best, shape (2,
        problems). rows, questions: the forms' coefficients, of the shapes of effects with the two
        forms in front."""
        solved = [self.solve(*form) for form in zip(rows, questions, strict=True)]
        covariance = np.array(
            [
                [
                    (row * each.rows).sum((0, 1)) + (part * each.questions).sum((0, 1))
                    for each in solved
                ]
                for row, part in zip(rows, questions, strict=True)
            ]
        )
        bends = self.weights[:, 1:] * (1 - 2 * expit(mode.odds()))
        slopes = [each.odds() / covariance[cell, cell] for cell, each in enumerate(solved)]
        # A product takes a tenth of the time of a power.
        thirds = [(bends * slope * slope * slope).sum(axis=(0, 1, 2)) for slope in slopes]
        return covariance, np.array(thirds)


def curvature(weights: Floats, by_row: Precision, by_question: Precision) -> Curvature:
    """The curvature of binomial weights n p (1 - p), shape (2, seeds, questions, problems), under
    priors."""
    weights = np.concatenate([weights.sum(axis=1, keepdims=True), weights], axis=1)
    blocks = by_question.own + weights[:, 0]
    determinant = blocks[0] * blocks[1] - by_question.across**2
    own, across = blocks[::-1] / determinant, -by_question.across / determinant
    factor = factorise(schur_complement(weights, own, across, by_row))
    logs = np.log(determinant).sum(axis=0) + 2 * np.log(np.einsum("iin->in", factor)).sum(axis=0)
    return Curvature(weights, own, across, factor, logs)


def schur_complement(weights: Floats, own: Floats, across: Floats, by_row: Precision) -> Floats:
    """What is left of the curvature for the rows, shape (2 * rows, 2 * rows, problems), once the
    questions are eliminated; for the order of rows and the arguments see `Curvature`."""
    rows = weights.shape[1]
    seeds = rows - 1
    places = [[2 * seeds + cell, *range(cell * seeds, (cell + 1) * seeds)] for cell in (0, 1)]
    complement = np.empty((2 * rows, 2 * rows, weights.shape[-1]))
    for ahead, behind in ((0, 0), (1, 0), (1, 1)):
        same = ahead == behind
        inverse = own[ahead] if same else across
        part = -np.einsum("rqn,tqn->rtn", weights[ahead] * inverse, weights[behind])
        diagonal = np.einsum("rrn->rn", part)
        diagonal += by_row.own if same else by_row.across
        if same:
            by_rows = weights[ahead].sum(axis=1)
            diagonal += by_rows
            part[1:, 0] += by_rows[1:]
            part[0, 1:] += by_rows[1:]
        complement[np.ix_(places[ahead], places[behind])] = part
        complement[np.ix_(places[behind], places[ahead])] = np.swapaxes(part, 0, 1)
    return complement


@dataclass
class Problems:
    """Counts, shape (2, seeds, questions, problems), the mean of the prior of m, the precisions of
    rows and questions, and the logarithm of the prior at zero effects, shape (problems,)."""

    successes: Floats
    trials: Floats
    mean: float
    by_row: Precision
    by_question: Precision
    log_prior: Floats

    def of(self, problems: Flags) -> "Problems":
        return Problems(
            self.successes[..., problems],
            self.trials[..., problems],
            self.mean,
            self.by_row.of(problems),
            self.by_question.of(problems),
            self.log_prior[problems],
        )

    def start(self) -> Effects:
        """No effect of any seed or question; the mean from the pooled answers of each cell."""
        pooled = (self.successes.sum(axis=(1, 2)) + 0.5) / (self.trials.sum(axis=(1, 2)) + 1)
        cells, seeds, questions, number = self.trials.shape
        rows = np.zeros((cells, 1 + seeds, number))
        rows[:, 0] = logit(pooled)
        return Effects(rows, np.zeros((cells, questions, number)))

    def from_prior(self, effects: Effects) -> Floats:
        """Rows less their prior mean."""
        apart = effects.rows.copy()
        apart[:, 0] -= self.mean
        return apart

    def step(self, effects: Effects) -> tuple[Effects, Curvature]:
        """Newton's step, and the curvature before it."""
        rates = expit(effects.odds())
        expected = self.trials * rates
        bent = curvature(expected * (1 - rates), self.by_row, self.by_question)
        residuals = self.successes - expected
        by_question = residuals.sum(axis=1)
        rows = np.concatenate(
            [by_question.sum(axis=1, keepdims=True), residuals.sum(axis=2)], axis=1
        )
        rows -= self.by_row.times(self.from_prior(effects))
        return bent.solve(rows, by_question - self.by_question.times(effects.questions)), bent

    def log_evidence(self, effects: Effects, bent: Curvature) -> Floats:
        """Logarithm of Laplace's approximation to prior mass times marginal likelihood, up to a
        constant of each pair, shape (problems,)."""
        odds = effects.odds()
        likelihood = self.successes * odds - self.trials * np.logaddexp(0, odds)
        apart = self.from_prior(effects)
        penalty = (apart * self.by_row.times(apart)).sum(axis=(0, 1))
        penalty += (effects.questions * self.by_question.times(effects.questions)).sum(axis=(0, 1))
        found: Floats = (
            likelihood.sum(axis=(0, 1, 2)) + self.log_prior - (penalty + bent.log_determinant) / 2
        )
        return found


def problems(
    tables: Tables, grid: Grid, priors: Priors, pairs: Integers, nodes: Integers
) -> Problems:
    """Pairs at nodes of the grid. pairs, nodes: their indices, both of shape (problems,)."""
    fixed = np.broadcast_to([priors.mean_spread, priors.shift_spread], (grid.log_masses.size, 2))
    seeds = [grid.seeds if known else np.full_like(fixed, UNTRAINED) for known in tables.trained]
    by_row = Precision(*np.stack([precision(each) for each in [fixed, *seeds]], axis=1))
    by_question = Precision(*precision(grid.questions)[:, None])
    number = tables.trials.shape[2]
    log_prior = grid.log_masses + sum(
        np.log(each.own**2 - each.across**2).sum(axis=0) / 2 * times
        for each, times in ((by_row, 1), (by_question, number))
    )
    return Problems(
        tables.successes[..., pairs],
        tables.trials[..., pairs],
        priors.mean,
        by_row.of(nodes),
        by_question.of(nodes),
        log_prior[nodes],
    )


# What is read off a mode and its curvature, for some problems: arrays whose last axis they are.
Reading = Callable[[Effects, Curvature, Integers], tuple[Floats, ...]]


def modes(left: Problems, effects: Effects, read: Reading, places: Integers) -> list[Floats]:
    """The logarithm of the evidence of each problem, and what `read` reads off its mode, from a
    start. places: what `read` is given of each problem.

    Each is read off once, after the step that solves it, whatever other problems there are. Solved
    problems leave the arrays once they are a fifth of them.
    """
    order = np.arange(left.log_prior.size)
    solved = np.zeros(order.size, dtype=bool)
    found: list[Floats] = []
    for steps in range(1, MOST_STEPS + 1):
        step, bent = left.step(effects)
        longest = np.maximum(
            np.abs(step.rows).max(axis=(0, 1)), np.abs(step.questions).max(axis=(0, 1))
        )
        effects = effects.plus(
            step, np.minimum(1, LONGEST_STEP / np.maximum(longest, LONGEST_STEP))
        )
        done = ((longest < CLOSE) | (steps == MOST_STEPS)) & ~solved
        if done.any():
            part, mode, at = left, effects, bent
            if not done.all():
                part, mode, at = left.of(done), effects.of(done), bent.of(done)
            results = [part.log_evidence(mode, at), *read(mode, at, places[order[done]])]
            if not found:
                found = [np.empty((*each.shape[:-1], places.size)) for each in results]
            for all_, some in zip(found, results, strict=True):
                all_[..., order[done]] = some
            solved |= done
        if solved.all():
            break
        if solved.mean() >= 0.2:
            order, left, effects = order[~solved], left.of(~solved), effects.of(~solved)
            solved = solved[~solved]
    return found


def effects_at(mode: Effects, _: Curvature, __: Integers) -> tuple[Floats, ...]:
    """A mode itself, as what is read off it."""
    return mode.rows, mode.questions


def likely(tables: Tables, grid: Grid, priors: Priors) -> tuple[Integers, Integers, Effects]:
    """The nodes of each pair that are not far less likely than its best one, as indices of pairs
    and of nodes, shape (problems,), and starts for them.

    The evidence is found for all spreads of questions at one of seeds, and for all of seeds at the
    best of questions. That of the other nodes is taken as the product, which is close, as questions
    and seeds are crossed.
    """
    number = tables.trials.shape[-1]
    every = np.arange(number)
    nodes = grid.by_questions()
    column = int(grid.log_masses.argmax()) % nodes.shape[1]

    def evidence(pairs: Integers, at: Integers, start: Effects | None) -> tuple[Floats, Effects]:
        some = problems(tables, grid, priors, pairs, at)
        found, *mode = modes(some, start or some.start(), effects_at, pairs)
        return found.reshape(number, -1), Effects(*mode)

    _, start = evidence(every, np.full(number, grid.log_masses.argmax()), None)
    pairs = np.repeat(every, len(nodes))
    by_questions, start = evidence(pairs, np.tile(nodes[:, column], number), start.of(pairs))
    best = by_questions.argmax(axis=1)
    pairs = np.repeat(every, nodes.shape[1])
    near = start.of(pairs * len(nodes) + best[pairs])
    by_seeds, _ = evidence(pairs, nodes[best].ravel(), near)
    about = by_questions[:, :, None] + (by_seeds - by_seeds[:, [column]])[:, None]
    keep = about > about.max(axis=(1, 2), keepdims=True) - FAR
    pairs, questions, seeds = np.nonzero(keep)
    return pairs, nodes[questions, seeds], start.of(pairs * len(nodes) + questions)


def fit(tables: Tables, grid: Grid, priors: Priors, read: Reading) -> list[Floats]:
    """The weight of each node, shape (pairs, nodes), which sum to one for each pair, and what
    `read` reads off the modes, with pairs and nodes as last axes; all zero for unlikely nodes."""
    pairs, nodes, start = likely(tables, grid, priors)
    shape = tables.trials.shape[-1], grid.log_masses.size
    some = problems(tables, grid, priors, pairs, nodes)
    evidence, *others = modes(some, start, read, pairs * shape[1] + nodes)
    logs = np.full(shape, -np.inf)
    logs[pairs, nodes] = evidence
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    found = [weights / weights.sum(axis=1, keepdims=True)]
    for each in others:
        found.append(np.zeros((*each.shape[:-1], *shape)))
        found[-1][..., pairs, nodes] = each
    return found
