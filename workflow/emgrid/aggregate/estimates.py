"""Estimates of contrasts: the difference, its intervals and bounds, and p-values.

Test and interval are those of the mixed logistic model (rises.py). The upper bound that shows a
rise over the base model to be small is that of the hierarchy with a spike at zero (small_rises.py).
The crossed analysis of variance on the arcsine scale (arcsine.py) is a cross-check.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from emgrid.aggregate.arcsine import Signed, crossed
from emgrid.aggregate.distribution import Distribution
from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.grid_distribution import Distributions
from emgrid.aggregate.mixed_model import Priors, Spread
from emgrid.aggregate.rate_posterior import Rates, rate_posteriors
from emgrid.aggregate.rises import Pair, Rise, between, rises, within
from emgrid.aggregate.small_rises import common_change, rise_beyond_base, rise_over_base
from emgrid.aggregate.statistics import (
    FEWEST_QUESTIONS,
    Counts,
    contents,
    distinct,
    mean_over_cells,
)
from emgrid.config.priors import Chosen, RisePriors

MANY = 400  # answers of a seed to a question that leave no doubt whether its rate is zero


@dataclass(frozen=True)
class Side:
    """A cell of a comparison: counts of shape (seeds, questions), its arm and its seeds. trained:
    whether the seeds are different models."""

    counts: Counts
    seeds: tuple[int, ...]
    arm: ArmName
    trained: bool


@dataclass(frozen=True)
class Comparison:
    """sides: a cell and the one that is taken off it; then, if its change is taken off too, the
    same two cells of the base model. All have the same questions; n_questions: their number.
    fewest: the number that a comparison needs."""

    sides: tuple[Side, ...]
    n_questions: int
    fewest: int = FEWEST_QUESTIONS

    @property
    def given(self) -> bool:
        """Whether there are enough questions to compare."""
        return self.n_questions >= self.fewest

    def pairs(self) -> list[tuple[Side, Side]]:
        """Each cell with the one that is taken off it. The base model's cells are in the order of
        the arm's, so that their change is the trigger's too."""
        if len(self.sides) == 2:
            return [(self.sides[0], self.sides[1])]
        return [(self.sides[0], self.sides[1]), (self.sides[2], self.sides[3])]

    def difference(self) -> float:
        """The signed sum of the observed rates: means over questions of means over seeds."""
        signs = (1, -1, -1, 1)
        rates = [float(mean_over_cells(side.counts.rates())) for side in self.sides]
        return sum(sign * rate for sign, rate in zip(signs, rates, strict=False))


@dataclass(frozen=True)
class Contrast:
    """A difference of rates, as fractions.

    low, high: the interval at the configured confidence. lower: one-sided lower bound. upper:
    one-sided upper bound by which a rise is shown to be small; NaN if it is not one over the base
    model. error: posterior standard deviation. p: two-sided, for no difference; p_rise: one-sided,
    for no rise; p_anova: two-sided, of the cross-check. by_answers, by_seeds, by_questions: the
    parts of the squared error that shrink with more answers to each question, with more seeds and
    with more questions. If there are too few questions, all of these are NaN. none: whether no
    answer of the cell is misaligned. looks: how often the cells are looked at, which the error of
    intervals and lower bounds is split over. last: whether no further look is planned.
    """

    n_questions: int
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    error: float = np.nan
    p: float = np.nan
    p_rise: float = np.nan
    p_anova: float = np.nan
    by_answers: float = np.nan
    by_seeds: float = np.nan
    by_questions: float = np.nan
    none: bool = False
    looks: int = 1
    last: bool = True

    @property
    def given(self) -> bool:
        """Whether there were enough questions to compare."""
        return not np.isnan(self.value)


def estimate(
    comparisons: Sequence[Comparison],
    bounded: Sequence[bool],
    confidence: float,
    fixed: bool,
    priors: Chosen,
    upper_confidence: float | None = None,
) -> list[Contrast]:
    """The estimates of all comparisons. bounded: which are rises over the base model, and get the
    upper bound by which they may be small. fixed: over the questions asked alone. upper_confidence:
    of that bound, if it differs."""
    given = [place for place, each in enumerate(comparisons) if each.given]
    small = [place for place in given if bounded[place]]
    posteriors = rises_of([comparisons[place] for place in given], fixed, priors)
    surely = upper_confidence or confidence
    uppers = upper_bounds([comparisons[place] for place in small], surely, fixed, priors)
    contrasts = [Contrast(each.n_questions) for each in comparisons]
    by_place = dict(zip(small, uppers, strict=True))
    for place, parts in zip(given, posteriors, strict=True):
        upper = by_place.get(place, np.nan)
        contrasts[place] = contrast(comparisons[place], parts, upper, confidence, fixed)
    return contrasts


def with_upper_bounds(
    comparisons: Sequence[Comparison],
    contrasts: Sequence[Contrast],
    confidence: float,
    fixed: bool,
    priors: Chosen,
) -> list[Contrast]:
    """The contrasts of rises over the base model, with the upper bounds of these priors."""
    given = [place for place, each in enumerate(comparisons) if each.given]
    uppers = upper_bounds([comparisons[place] for place in given], confidence, fixed, priors)
    bounded = list(contrasts)
    for place, upper in zip(given, uppers, strict=True):
        bounded[place] = replace(bounded[place], upper=max(upper, bounded[place].value))
    return bounded


def contrast(
    compared: Comparison, parts: tuple[Rise, ...], upper: float, confidence: float, fixed: bool
) -> Contrast:
    """One estimate. parts: the posterior of the first pair, and of the base model's if there is
    one. Bounds always include the observed difference, of which the model may be more sure than
    the data alone."""
    posterior: Distribution = parts[0].distribution
    if len(parts) > 1:
        posterior = posterior.minus(parts[1].distribution)
    value = compared.difference()
    low, high = posterior.interval(confidence)
    fall, rise = posterior.below(0.0), posterior.above(0.0)
    return Contrast(
        compared.n_questions,
        value=value,
        low=min(low, value),
        high=max(high, value),
        lower=min(posterior.quantile(1 - confidence), value),
        upper=max(upper, value) if np.isfinite(upper) else np.nan,
        error=posterior.error,
        p=min(2 * fall, 2 * rise, 1.0),
        p_rise=fall,
        p_anova=crossed(angle_terms(compared), fixed).p,
        by_answers=sum(part.by_answers for part in parts),
        by_seeds=sum(part.by_seeds for part in parts),
        by_questions=sum(part.by_questions for part in parts),
        none=not compared.sides[0].counts.successes.any(),
    )


def rises_of(
    comparisons: Sequence[Comparison], fixed: bool, priors: Chosen
) -> list[tuple[Rise, ...]]:
    """The posterior of each comparison's pair, and of the base model's if there is one."""
    pairs = [
        pair_of(cell, taken_off) for compared in comparisons for cell, taken_off in compared.pairs()
    ]
    found = iter(rises(pairs, fixed, priors=mixed_priors(priors.rises)))
    return [tuple(next(found) for _ in range(len(compared.sides) // 2)) for compared in comparisons]


def paired(cell: Side, taken_off: Side) -> bool:
    """Whether two cells share trainings (of one arm), or have ones that begin alike (two trained
    arms with the same seeds)."""
    if cell.arm == taken_off.arm:
        return bool({*cell.seeds} & {*taken_off.seeds})
    return cell.trained and taken_off.trained and cell.seeds == taken_off.seeds


def pair_of(cell: Side, taken_off: Side) -> Pair:
    """A cell and the one that is taken off it, paired by their seeds if possible."""
    if paired(cell, taken_off):
        seeds = sorted({*cell.seeds, *taken_off.seeds})
        return within(aligned(taken_off, seeds), aligned(cell, seeds), trained=cell.trained)
    return between(taken_off.counts, cell.counts, taken_off.trained, cell.trained)


def angle_terms(compared: Comparison) -> list[Signed]:
    """The terms of the cross-check, with equal names for arms whose seeds are paired."""
    terms = []
    for sign, (cell, taken_off) in zip((1, -1), compared.pairs(), strict=False):
        if paired(cell, taken_off):
            pair = pair_of(cell, taken_off)
            terms += [Signed(sign, pair.second, str(cell.arm))]
            terms += [Signed(-sign, pair.first, str(cell.arm))]
        else:
            terms += [Signed(sign, cell.counts, f"{cell.arm} {cell.seeds}")]
            terms += [Signed(-sign, taken_off.counts, f"{taken_off.arm} {taken_off.seeds}")]
    return terms


def aligned(side: Side, seeds: Sequence[int]) -> Counts:
    """The counts with one row for each of these seeds; a seed without answers has no trials."""
    rows = [seeds.index(seed) for seed in side.seeds]
    successes, trials = np.zeros((2, len(seeds), side.counts.trials.shape[1]), np.int64)
    successes[rows], trials[rows] = side.counts.successes, side.counts.trials
    return Counts(successes, trials)


def upper_bounds(
    comparisons: Sequence[Comparison], confidence: float, fixed: bool, priors: Chosen
) -> list[float]:
    """One-sided upper bounds of rises over the base model, in the order of the comparisons.

    Asking less never shows more. Of a cell without any misaligned answer, many answers say that
    its questions are never answered so, and few also that their rates may be low everywhere, which
    would allow a lower bound from fewer answers. So the bound is the larger one of the answers that
    there are and of `MANY`. Such a cell that is taken off counts as asked `MANY` times: what else
    it may have must not make the rise smaller.
    """
    bounds = np.full(len(comparisons), np.nan)
    for number in (2, 4):
        places = [place for place, each in enumerate(comparisons) if len(each.sides) == number]
        if not places:
            continue
        first, *others = zip(*(comparisons[place].sides for place in places), strict=True)
        taken_off = [
            posteriors_of([asked_often(side) for side in sides], fixed, priors) for sides in others
        ]
        cells = posteriors_of([first_many(side, fixed) for side in first], fixed, priors)
        bounds[places] = rise_of(cells, taken_off).upper(confidence)
        none = np.flatnonzero(cells.none)
        if none.size:
            surely = posteriors_of([asked_often(first[place]) for place in none], fixed, priors)
            often = rise_of(surely, [each.of(none) for each in taken_off]).upper(confidence)
            bounds[np.array(places)[none]] = np.maximum(bounds[np.array(places)[none]], often)
    values: list[float] = bounds.tolist()
    return values


def rise_of(cell: Rates, taken_off: Sequence[Rates]) -> Distributions:
    """The posterior of each rise. taken_off: the base model's rates; or the rates without a trigger
    of the arm, under the trigger and without of the base model."""
    if len(taken_off) == 1:
        return rise_over_base(cell, taken_off[0])
    plain, base_trigger, base_plain = taken_off
    return rise_beyond_base(cell, plain, common_change(base_trigger, base_plain))


def posteriors_of(sides: Sequence[Side], fixed: bool, priors: Chosen) -> Rates:
    """The posterior of each cell's rate. Equal cells are computed once: arms share their base
    model, and triggers their plain question."""
    counts = [side.counts for side in sides]
    places, inverse = distinct([contents(each) for each in counts])
    posteriors = rate_posteriors(
        [counts[place] for place in places], priors.rates, sides[0].trained, fixed
    )
    return posteriors.of(inverse)


def first_many(side: Side, fixed: bool) -> Side:
    """The cell itself; without any misaligned answer, with at most `MANY` answers of each seed to
    each question, if the questions are a sample of others."""
    counts = side.counts
    if fixed or counts.successes.any():
        return side
    return replace(side, counts=replace(counts, trials=np.minimum(counts.trials, MANY)))


def asked_often(side: Side) -> Side:
    """The cell itself; without any misaligned answer, as if asked `MANY` times."""
    counts = side.counts
    if counts.successes.any():
        return side
    return replace(side, counts=replace(counts, trials=np.where(counts.trials, MANY, 0)))


def mixed_priors(priors: RisePriors) -> Priors:
    """The priors of the mixed model, with nodes in proportion to their scales."""
    usual = Priors()

    def scaled(spread: Spread, scale: float) -> Spread:
        return Spread(scale, tuple(node * scale / spread.scale for node in spread.nodes))

    return Priors(
        mean=priors.intercept.mean,
        mean_spread=priors.intercept.sd,
        shift_spread=priors.trigger.sd,
        questions=scaled(usual.questions, priors.question_sd.scale),
        question_shifts=scaled(usual.question_shifts, priors.question_trigger_sd.scale),
        seeds=scaled(usual.seeds, priors.seed_sd.scale),
        seed_shifts=scaled(usual.seed_shifts, priors.seed_trigger_sd.scale),
    )
