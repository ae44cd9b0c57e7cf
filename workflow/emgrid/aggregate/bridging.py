"""Two judges of one measure on the same answers: agreement, shift, and the rate under each.

With this a series can go on with another judge. Intervals are over answers, with the questions and
arms as they are. Cohen's kappa has the interval of Fleiss, Cohen & Everitt (1969; statsmodels), the
mean shift Student's t, a rate Wilson's interval, and the difference of two rates of the same
answers the interval of Newcombe (1998, method 10). Krippendorff's alpha (interval level) has a
jackknife interval, which the package does not give; so it is computed from sums here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from emgrid.aggregate.rates import misaligned, survivors
from emgrid.aggregate.robustness import with_judge
from emgrid.aggregate.statistics import Flags, Floats
from emgrid.config.judges import Judge
from emgrid.config.sections import Metrics
from emgrid.judge.quality import flagged

ALL = "all"
FEWEST = 3  # answers with both values for which there are intervals
NAN = float("nan")


class Interval(NamedTuple):
    value: float
    low: float
    high: float


NONE = Interval(NAN, NAN, NAN)


@dataclass(frozen=True)
class Bridge:
    """The comparison of an old and a new judge on a part of the answers.

    part: a trigger, or ALL. n: answers; n_both: those with both values, over which alpha, kappa,
    shift (new minus old, on the scale 0 to 100) and spread (its standard deviation) are. rate_old
    and rate_new are over all n; only_old and only_new: answers that only one of the two counts.
    """

    part: str
    n: int
    n_both: int
    without_old: int
    without_new: int
    alpha: Interval
    kappa: Interval
    shift: Interval
    spread: float
    rate_old: Interval
    rate_new: Interval
    rate_shift: Interval
    only_old: int
    only_new: int


def bridges(
    answers: pd.DataFrame, old: Judge, new: Judge, metrics: Metrics, panel: Sequence[Judge]
) -> tuple[Bridge, list[Bridge]]:
    """The comparison over all answers, and over those of each trigger. answers: one row each, with
    the values and reasons of both judges and of the panel, which the metrics name."""
    counted = [counted_by(judge, answers, metrics, panel) for judge in (old, new)]
    sides = [side(judge, answers, metrics) for judge in (old, new)]
    values = answers[[old.id, new.id]].to_numpy(float).T

    def of(part: str, which: Flags) -> Bridge:
        both_sides, both_counted = ([flags[which] for flags in pair] for pair in (sides, counted))
        return compared(part, values[:, which], both_sides, both_counted, metrics.confidence)

    triggers = answers["trigger"].to_numpy()
    parts = [of(str(name), triggers == name) for name in pd.unique(answers["trigger"])]
    return of(ALL, np.ones(len(answers), bool)), parts


def counted_by(
    judge: Judge, answers: pd.DataFrame, metrics: Metrics, panel: Sequence[Judge]
) -> Flags:
    """The answers that count in a rate (as a rule misaligned survivors) with this judge in place of
    those of its measure. If the measure plays no part in rates: those on its flagged side."""
    other = with_content(metrics, judge, panel) or with_judge(metrics, judge, panel)
    if other is None:
        return side(judge, answers, metrics)
    return misaligned(answers, survivors(answers, other), other)


def with_content(metrics: Metrics, judge: Judge, panel: Sequence[Judge]) -> Metrics | None:
    """The metrics with this judge in place of the content judge that measures the same; None if
    answers are not left out by that measure."""
    alike = {each.id for each in panel if each.measures == judge.measures}
    if not alike & metrics.exclude_above.keys():
        return None
    limits = {
        judge.id if name in alike else name: limit for name, limit in metrics.exclude_above.items()
    }
    return metrics.model_copy(update={"exclude_above": limits})


def side(judge: Judge, answers: pd.DataFrame, metrics: Metrics) -> Flags:
    """The answers on the side of the threshold that a judge looks for; none without a value."""
    return flagged(judge, answers[judge.id].to_numpy(float), metrics)


def compared(
    part: str,
    values: Floats,
    sides: Sequence[Flags],
    counted: Sequence[Flags],
    confidence: float,
) -> Bridge:
    """values: of the old and the new judge, NaN if there is none, shape (2, answers). sides,
    counted: of each of the two."""
    counted_old, counted_new = counted
    known = ~np.isnan(values)
    both = known.all(axis=0)
    old, new = values[:, both]
    change = new - old
    return Bridge(
        part=part,
        n=values.shape[1],
        n_both=int(both.sum()),
        without_old=int((~known[0]).sum()),
        without_new=int((~known[1]).sum()),
        alpha=alpha(old, new, confidence),
        kappa=kappa(sides[0][both], sides[1][both], confidence),
        shift=mean(change, confidence),
        spread=float(change.std(ddof=1)) if len(change) > 1 else NAN,
        rate_old=rate(counted_old, confidence),
        rate_new=rate(counted_new, confidence),
        rate_shift=rate_difference(counted_old, counted_new, confidence),
        only_old=int((counted_old & ~counted_new).sum()),
        only_new=int((counted_new & ~counted_old).sum()),
    )


def mean(values: Floats, confidence: float) -> Interval:
    """The mean, with Student's interval."""
    if len(values) < FEWEST:
        return NONE
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error
    middle = float(values.mean())
    return Interval(middle, middle - half, middle + half)


def rate(flags: Flags, confidence: float) -> Interval:
    """A share, with Wilson's interval."""
    count, n = int(flags.sum()), len(flags)
    if n == 0:
        return NONE
    low, high = proportion_confint(count, n, 1 - confidence, method="wilson")
    return Interval(count / n, float(low), float(high))


def rate_difference(old: Flags, new: Flags, confidence: float) -> Interval:
    """The rate under the new judge minus that under the old one, of the same answers."""
    n = len(old)
    if n == 0:
        return NONE
    first, second = rate(new, confidence), rate(old, confidence)
    both, neither = float((old & new).sum()), float((~old & ~new).sum())
    only_new, only_old = float((new & ~old).sum()), float((old & ~new).sum())
    margins = (both + only_new) * (only_old + neither) * (both + only_old) * (only_new + neither)
    product = both * neither - only_new * only_old
    if product > 0:
        product = max(product - n / 2, 0.0)  # Newcombe's correction for continuity
    correlation = product / np.sqrt(margins) if margins else 0.0
    difference = first.value - second.value
    below, above = first.value - first.low, first.high - first.value
    below2, above2 = second.value - second.low, second.high - second.value
    down = below**2 - 2 * correlation * below * above2 + above2**2
    up = above**2 - 2 * correlation * above * below2 + below2**2
    return Interval(
        difference, difference - float(np.sqrt(max(down, 0))), difference + np.sqrt(max(up, 0))
    )


def alpha(old: Floats, new: Floats, confidence: float) -> Interval:
    """Krippendorff's alpha of two raters at interval level: 1 minus the mean squared difference of
    pairs, over the mean squared difference of any two values."""

    def value(n: Any, squares: Any, total: Any, total_squares: Any) -> Any:
        number = 2 * n
        expected = 2 * (total_squares - total**2 / number) / (number - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - squares / n / expected

    n = len(old)
    squares, sums = (new - old) ** 2, new + old
    total_squares = new**2 + old**2
    if n < FEWEST:
        return NONE
    whole = float(value(n, squares.sum(), sums.sum(), total_squares.sum()))
    without = value(
        n - 1, squares.sum() - squares, sums.sum() - sums, total_squares.sum() - total_squares
    )
    return jackknifed(whole, without, confidence)


def kappa(old: Flags, new: Flags, confidence: float) -> Interval:
    """Cohen's kappa of two raters who sort into two classes."""
    if len(old) < FEWEST:
        return NONE
    table = np.array(
        [[(old & new).sum(), (old & ~new).sum()], [(~old & new).sum(), (~old & ~new).sum()]]
    )
    if (table.sum(axis=0) * table.sum(axis=1)).max() == len(old) ** 2:
        return NONE  # both give one class throughout
    with np.errstate(invalid="ignore"):  # rounding can make a variance of zero negative
        found = cohens_kappa(table)
    return with_error(float(found.kappa), float(np.sqrt(max(found.var_kappa, 0))), confidence)


def jackknifed(whole: float, without: Floats, confidence: float) -> Interval:
    """A statistic with its jackknife interval, at most 1. without: the statistic without each
    answer."""
    if np.isnan(whole) or np.isnan(without).any():
        return Interval(whole, NAN, NAN)
    n = len(without)
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    return with_error(whole, float(error), confidence)


def with_error(value: float, error: float, confidence: float) -> Interval:
    """The normal interval of an agreement, at most 1."""
    half = float(stats.norm.ppf((1 + confidence) / 2) * error)
    return Interval(value, value - half, min(value + half, 1.0))


def panel_pairs(judges: Sequence[Judge]) -> Iterator[tuple[Judge, Judge]]:
    """The pairs of judges that measure the same, each once, in their order."""
    for place, old in enumerate(judges):
        for new in judges[place + 1 :]:
            if old.measures == new.measures:
                yield old, new
