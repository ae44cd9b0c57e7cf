"""Rises of the rate between two cells of the grid: posterior, interval and p-value.

The rise is in points, the scale of the rates: the mean rate over the population of questions and of
seeds in cell 1, less that in cell 0. Each rate is a logit-normal mean (`logit_normal`) of the mixed
model's mean and spreads (`mixed_model`), and its posterior a mixture over the nodes of the spreads.
p is the posterior probability of a fall (one-sided), twice the smaller of that and its complement
(two-sided), so that p and interval cannot contradict each other. If both cells are of trained arms,
or neither is, the two spreads are equal, and the rise has the sign of the shift of the log-odds.

With fixed questions the rates are means over the questions at hand: their posterior at each node is
that of their logits, with the delta method's variance.

A difference of two rises (an arm's under a trigger, less the base model's) takes the two posteriors
as independent. They share the questions, which usually moves both alike, so that this errs to the
wide side; the base model, whose rise is near zero, adds little to it in any case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from emgrid.aggregate.distribution import Distribution
from emgrid.aggregate.error_parts import error_parts
from emgrid.aggregate.laplace import Curvature, Effects, Reading, fit
from emgrid.aggregate.logit_normal import LogitNormal, logit_normal
from emgrid.aggregate.mixed_model import Floats, Grid, Integers, Priors, Tables
from emgrid.aggregate.mixture import Mixture
from emgrid.aggregate.statistics import Counts

# Pairs that are solved together: more do not fit into a processor's cache.
TOGETHER = 32
# Half the step of a numerical derivative in log-odds.
NEAR = 0.1
PRIORS = Priors()
Key = tuple[tuple[bool, ...], tuple[int, ...], bytes]


@dataclass(frozen=True)
class Pair:
    """Two cells that were asked the same questions, both of shape (seeds, questions); cells may
    have no trial. trained: whether each row of seeds has an effect of the seed."""

    first: Counts
    second: Counts
    trained: tuple[bool, ...]


def within(plain: Counts, trigger: Counts, trained: bool = True) -> Pair:
    """Cells that share their seeds: an arm without and with a trigger, or two arms whose seeds are
    paired. An arm that is not trained has the same model at each seed."""
    if not trained:
        plain, trigger = pooled(plain), pooled(trigger)
    return Pair(plain, trigger, (trained,) * plain.trials.shape[0])


def between(
    first: Counts, second: Counts, first_trained: bool = True, second_trained: bool = True
) -> Pair:
    """Cells of two arms with seeds of their own."""
    flags = [first_trained, second_trained]
    first, second = (
        each if flag else pooled(each) for each, flag in zip((first, second), flags, strict=True)
    )
    numbers = [each.trials.shape[0] for each in (first, second)]
    trained = tuple(
        flag for flag, number in zip(flags, numbers, strict=True) for _ in range(number)
    )
    return Pair(padded(first, 0, numbers[1]), padded(second, numbers[0], 0), trained)


def padded(counts: Counts, before: int, after: int) -> Counts:
    """The counts with seeds that have no trial before and after."""
    widths = ((before, after), (0, 0))
    return Counts(np.pad(counts.successes, widths), np.pad(counts.trials, widths))


def pooled(counts: Counts) -> Counts:
    """The counts of all seeds together, as of a single one."""
    successes, trials = (
        each.sum(axis=0, keepdims=True) for each in (counts.successes, counts.trials)
    )
    return Counts(successes, trials)


@dataclass(frozen=True)
class Rise:
    """The posterior of the rate of one cell less that of another, in points.

    by_answers, by_seeds, by_questions: the parts of its squared error that more answers to each
    question, more seeds and more questions reduce; they sum to it. rates: the posteriors of the
    two rates; none if they were not asked for, and none of a difference of rises.
    """

    distribution: Distribution
    by_answers: float
    by_seeds: float
    by_questions: float
    rates: tuple[Distribution, ...] = ()

    @property
    def p_one_sided(self) -> float:
        """The posterior probability of no rise."""
        return self.distribution.below(0.0)

    @property
    def p(self) -> float:
        """The two-sided p of no difference."""
        return min(2 * self.distribution.below(0.0), 2 * self.distribution.above(0.0), 1.0)

    def minus(self, other: "Rise") -> "Rise":
        """The difference of two rises, whose posteriors are taken as independent."""
        return Rise(
            self.distribution.minus(other.distribution),
            self.by_answers + other.by_answers,
            self.by_seeds + other.by_seeds,
            self.by_questions + other.by_questions,
        )


def stacked(pairs: Sequence[Pair]) -> Tables:
    """The counts of pairs of the same shape and flags as one array."""
    successes, trials = (
        np.array(
            [[getattr(cell, what) for cell in (pair.first, pair.second)] for pair in pairs], float
        ).transpose(1, 2, 3, 0)
        for what in ("successes", "trials")
    )
    return Tables(successes, trials, pairs[0].trained)


@dataclass(frozen=True)
class Scale:
    """How centres of the model become rates: logit-normal means, for each cell and node the row of
    the spread, shape (2, nodes). `read` gives centres, their covariance and the mean m."""

    link: LogitNormal
    rows: Integers
    read: Reading


def population(grid: Grid, trained: tuple[bool, bool]) -> Scale:
    """Rates over the population of questions and seeds."""
    spreads = np.sqrt(grid.totals(trained)).ravel()
    link = logit_normal(tuple(spreads.tolist()))

    def read(mode: Effects, bent: Curvature, _: Integers) -> tuple[Floats, ...]:
        rows = np.zeros((2, *mode.rows.shape))
        rows[[0, 1], [0, 1], 0] = 1
        none = np.zeros((2, *mode.questions.shape))
        return mode.rows[:, 0], *bent.along(mode, rows, none), mode.rows[:, 0]

    return Scale(link, np.arange(spreads.size).reshape(2, -1), read)


def questions_at_hand(tables: Tables, grid: Grid, trained: tuple[bool, bool]) -> Scale:
    """Rates over the questions with trials and the population of seeds. Their logits are taken as
    normal, with the delta method's covariance."""
    nodes = grid.log_masses.size
    by_seeds = np.sqrt(grid.of_seeds(trained)).ravel()
    seeds, spreads = logit_normal(tuple(by_seeds.tolist())), np.arange(2 * nodes).reshape(2, nodes)
    asked = (tables.trials.sum(axis=1) > 0).astype(float)
    shares = asked / asked.sum(axis=1, keepdims=True)

    def read(mode: Effects, bent: Curvature, places: Integers) -> tuple[Floats, ...]:
        odds = mode.rows[:, :1] + mode.questions
        at = spreads[:, None, places % nodes]
        low, rates, high = (seeds.mean(odds + move, at) for move in (-NEAR, 0, NEAR))
        share = shares[..., places // nodes]
        means = (share * rates).sum(axis=1, keepdims=True)
        slopes = share * (high - low) / (2 * NEAR) / (means * (1 - means))
        rows, questions = (np.zeros((2, *each.shape)) for each in (mode.rows, mode.questions))
        for cell in (0, 1):
            questions[cell, cell], rows[cell, cell, 0] = slopes[cell], slopes[cell].sum(axis=0)
        return logit(means[:, 0]), *bent.along(mode, rows, questions), mode.rows[:, 0]

    return Scale(logit_normal((0.0,)), np.zeros((2, nodes), dtype=np.int64), read)


def solve_together(
    pairs: Sequence[Pair], fixed: bool, rates: bool, priors: Priors
) -> Iterator[Rise]:
    """The posteriors of pairs of the same shape."""
    tables = stacked(pairs)
    trained = tables.trained_cells()
    grid = priors.grid(any(trained))
    scale = questions_at_hand(tables, grid, trained) if fixed else population(grid, trained)
    weights, centres, covariance, thirds, means = fit(tables, grid, priors, scale.read)
    parts = error_parts(tables, grid, weights, means, fixed)
    for pair in range(len(pairs)):
        mixture = Mixture(
            weights[pair],
            centres[:, pair],
            covariance[:, :, pair],
            thirds[:, pair],
            scale.link,
            scale.rows,
        ).kept()
        rise = mixture.rise()
        answers, seeds, questions = parts[:, pair] / parts[:, pair].sum() * rise.error**2
        both = (mixture.rate(0), mixture.rate(1)) if rates else ()
        yield Rise(rise, float(answers), float(seeds), float(questions), both)


def rises(
    pairs: Sequence[Pair], fixed: bool = False, rates: bool = False, priors: Priors = PRIORS
) -> list[Rise]:
    """The posterior of each pair's rise. fixed: over the questions at hand alone. rates: also those
    of the two rates. Pairs of equal counts are solved once."""
    solved: dict[Key, Rise] = {}
    groups: dict[tuple[tuple[int, ...], tuple[bool, ...]], dict[Key, Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.first.trials.shape, pair.trained), {})[key(pair)] = pair
    for group in groups.values():
        distinct = list(group.items())
        for start in range(0, len(distinct), TOGETHER):
            keys, few = zip(*distinct[start : start + TOGETHER], strict=True)
            solved.update(zip(keys, solve_together(few, fixed, rates, priors), strict=True))
    return [solved[key(pair)] for pair in pairs]


def key(pair: Pair) -> Key:
    """What two pairs with equal posteriors have in common."""
    cells = (pair.first, pair.second)
    arrays = [each for cell in cells for each in (cell.successes, cell.trials)]
    return pair.trained, arrays[0].shape, np.array(arrays, dtype=np.int64).tobytes()
