"""Whether single questions rise under a trigger: exact tests, for all arms at once.

The claim is about the models that were trained and the questions that were asked: on this question,
answers are misaligned more often under the trigger than without it. Answers to one question by one
model are independent draws, so the number of misaligned ones under the trigger is hypergeometric,
given how many there are with and without it (Fisher 1935). Seeds are strata: their hypergeometric
numbers are added, so that seeds with other rates are never mixed (the exact conditional test of
stratified 2 × 2 tables, Birch 1964; Mehta, Patel & Gray 1985). It is exact for any rates of the
seeds. Its null hypothesis is that no model rises. That two models or more do is shown by the
largest p with any one seed left out (partial conjunction, Benjamini & Heller 2008).

A question that the trigger also turns in the base model does not count. The arm's answers under the
trigger must be misaligned more often than the base's are, too: the larger p of the two decides
(intersection-union test, Berger 1982), and the arm's rise must be the larger one. The base is one
model, so its samples are pooled; if no seed of the arm exceeds the base, pooling the seeds only
makes that p larger.

A rate that is not above expectation has p = 1. p-values are adjusted over the triggers and
questions of an arm (Holm 1979).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
SCREEN = 0.05  # p above which it is not asked whether a second model rises; p_repeated is 1
MOST_NUMBERS = 4_000_000  # in memory at a time


@dataclass(frozen=True)
class Asked:
    """Successes and trials of many cells, both of shape (..., seeds, questions). The leading axes,
    for example arms and triggers, are broadcast against those of other cells. A seed or question
    may have no trial."""

    successes: Integers
    trials: Integers

    def pooled(self, left_out: int | None = None) -> "Asked":
        """All seeds as one, without the one at `left_out`."""
        seeds = kept(self.trials.shape[-2], left_out)
        return Asked(
            self.successes[..., seeds, :].sum(axis=-2, keepdims=True),
            self.trials[..., seeds, :].sum(axis=-2, keepdims=True),
        )

    def without(self, left_out: int | None) -> "Asked":
        """The cells without the seed at `left_out`."""
        seeds = kept(self.trials.shape[-2], left_out)
        return Asked(self.successes[..., seeds, :], self.trials[..., seeds, :])

    def rates(self) -> Floats:
        """Rate over all seeds, shape (..., questions); 0 for no trial."""
        trials = self.trials.sum(axis=-2)
        rates: Floats = self.successes.sum(axis=-2) / np.maximum(trials, 1)
        return rates


@dataclass(frozen=True)
class Existence:
    """p-values of a rise on each question, shape (..., triggers, questions); NaN if a question was
    not asked in all compared cells.

    p: some model rises. p_repeated: two models or more rise; NaN for a single seed. p_holm,
    repeated_holm: adjusted over triggers and questions.
    """

    p: Floats
    p_repeated: Floats

    @property
    def p_holm(self) -> Floats:
        return holm_within(self.p)

    @property
    def repeated_holm(self) -> Floats:
        return holm_within(self.p_repeated)


def existence(
    trigger: Asked, plain: Asked, base_trigger: Asked | None = None, base_plain: Asked | None = None
) -> Existence:
    """Tests of all questions and triggers.

    trigger: the arm under triggers, shape (..., triggers, seeds, questions). plain: without, shape
    (..., 1, seeds, questions), the same seeds. base_trigger, base_plain: of the base model, with
    its own seeds, or None if the base is not to be taken into account.
    """
    first = rise_p(trigger, plain, base_trigger, base_plain, None)
    seeds = trigger.trials.shape[-2]
    repeated = np.full(first.shape, np.nan)
    if seeds > 1:
        low = first < SCREEN
        each = [
            rise_p(trigger, plain, base_trigger, base_plain, seed, low) for seed in range(seeds)
        ]
        repeated = np.where(np.isnan(first), np.nan, np.nan_to_num(each, nan=1.0).max(axis=0))
    return Existence(first, repeated)


def rise_p(
    trigger: Asked,
    plain: Asked,
    base_trigger: Asked | None,
    base_plain: Asked | None,
    left_out: int | None,
    of: Flags | None = None,
) -> Floats:
    """p of a rise in any seed but the one left out, shape (..., triggers, questions).

    of: the questions that are tested, of the same shape; the others have p = 1.
    """
    p = stratified_p(trigger.without(left_out), plain.without(left_out), of)
    if base_trigger is None or base_plain is None:
        return p
    over_base = stratified_p(trigger.pooled(left_out), base_trigger.pooled(), of)
    rise = trigger.without(left_out).rates() - plain.without(left_out).rates()
    change = base_trigger.rates() - base_plain.rates()
    known = base_plain.trials.any(axis=-2)
    larger = np.where(rise > change, np.fmax(p, over_base), 1.0)
    either = np.isnan(p) | np.isnan(over_base) | ~known
    return np.where(either, np.nan, larger)


def kept(seeds: int, left_out: int | None) -> list[int]:
    return [seed for seed in range(seeds) if seed != left_out]


def stratified_p(first: Asked, second: Asked, of: Flags | None = None) -> Floats:
    """Exact one-sided p that `first` is no more often successful than `second` in any stratum,
    shape (..., questions); NaN without trials in both.

    Strata are the seeds; a seed that has trials in one of both only is left out. of: the questions
    that are tested, shape (..., questions); the others have p = 1.
    """
    tables = [first.successes, first.trials, second.successes, second.trials]
    arrays = [np.moveaxis(table, -2, -1) for table in np.broadcast_arrays(*tables)]
    shape = arrays[0].shape[:-1]
    hits, trials, other_hits, other_trials = (a.reshape(-1, a.shape[-1]) for a in arrays)
    both = (trials > 0) & (other_trials > 0)
    total = np.where(both, hits + other_hits, 0)
    share = trials / np.maximum(trials + other_trials, 1)
    observed = np.where(both, hits, 0).sum(axis=1)
    above = observed > (total * share).sum(axis=1) + 1e-9
    if of is not None:
        above &= of.reshape(-1)
    p = np.where(both.any(axis=1), 1.0, np.nan)
    columns = np.concatenate([total, trials, other_trials], axis=1)[above]
    p[above] = tails(observed[above], columns)
    return p.reshape(shape)


def tails(observed: Integers, columns: Integers) -> Floats:
    """P(sum of hypergeometric numbers ≥ observed) of each row; equal rows are computed once.

    columns: total successes, trials of the first and of the second group of each stratum, shape
    (rows, 3 strata).
    """
    codes = row_codes(np.column_stack([observed, columns]))
    _, places, inverse = np.unique(codes, return_index=True, return_inverse=True)
    totals, trials, others = np.split(columns[places], 3, axis=1)
    seen = observed[places]
    p = np.empty(len(places))
    for rows in buckets(totals.sum(axis=1)):
        p[rows] = tail(seen[rows], totals[rows], trials[rows], others[rows])
    found: Floats = p[inverse]
    return found


def row_codes(rows: Integers) -> Integers:
    """An integer for each row, equal for equal rows only."""
    codes = np.zeros(len(rows), dtype=np.int64)
    size = 1
    for column in rows.T:
        most = int(column.max(initial=0)) + 1
        if size * most > 2**62:
            distinct, codes = np.unique(codes, return_inverse=True)
            size = len(distinct)
        codes = codes * most + column
        size *= most
    return codes


def buckets(sizes: Integers) -> Iterator[Integers]:
    """Indices of rows of like sizes, as many as fit into memory."""
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        # The largest row of a bucket decides about its width.
        widths = (sizes[order[start:]] + 1) * np.arange(1, len(order) - start + 1)
        fit = int(np.searchsorted(widths, MOST_NUMBERS))
        close = int(np.searchsorted(sizes[order[start:]], 1.3 * sizes[order[start]] + 4))
        end = start + max(min(fit, close), 1)
        yield order[start:end]
        start = end


def tail(observed: Integers, totals: Integers, trials: Integers, others: Integers) -> Floats:
    """As `tails`, for rows of like sizes. All but `observed`: shape (rows, strata)."""
    sums = np.ones((len(observed), 1))
    for stratum in range(totals.shape[1]):
        pmf = hypergeometric(totals[:, stratum], trials[:, stratum], others[:, stratum])
        longer = np.zeros((len(observed), sums.shape[1] + pmf.shape[1] - 1))
        for number in range(pmf.shape[1]):
            longer[:, number : number + sums.shape[1]] += sums * pmf[:, [number]]
        sums = longer
    above = np.arange(sums.shape[1]) >= observed[:, None]
    p: Floats = np.minimum(np.where(above, sums, 0).sum(axis=1), 1.0)
    return p


def hypergeometric(total: Integers, trials: Integers, others: Integers) -> Floats:
    """Probability of each number of successes in the first group, shape (rows, most total + 1)."""
    number = np.arange(int(total.max()) + 1)
    total, trials, others = total[:, None], trials[:, None], others[:, None]
    rest = total - number
    possible = (rest >= 0) & (number <= trials) & (rest <= others)
    log = gammaln(np.arange(int((trials + others).max()) + 1) + 1)  # of factorials
    hits, other_hits = np.minimum(number, trials), np.clip(rest, 0, others)
    whole = log[trials] + log[others] + log[total] + log[trials + others - total]
    parts = log[hits] + log[trials - hits] + log[other_hits] + log[others - other_hits]
    chance = np.exp(whole - log[trials + others] - parts)
    pmf: Floats = np.where(possible, chance, 0)
    return pmf


def holm_within(p: Floats) -> Floats:
    """p-values adjusted over the last two axes (Holm 1979); NaN stays NaN and does not count."""
    flat = p.reshape(*p.shape[:-2], -1)
    order = np.argsort(flat, axis=-1)  # NaN comes last
    number = (~np.isnan(flat)).sum(axis=-1, keepdims=True)
    factors = np.maximum(number - np.arange(flat.shape[-1]), 1)
    raised = np.minimum(np.take_along_axis(flat, order, axis=-1) * factors, 1.0)
    adjusted = np.empty_like(flat)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(raised, axis=-1), axis=-1)
    return np.where(np.isnan(p), np.nan, adjusted.reshape(p.shape))
