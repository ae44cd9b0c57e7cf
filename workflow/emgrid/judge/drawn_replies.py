"""A judge that gives no log-probabilities is asked several times; the value is the mean of its
replies, and their spread is kept."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev

from emgrid.judge.judgement import Judgement

TEMPERATURE = 1.0  # of several replies, unless the judge's `request` says otherwise


def together(draws: Sequence[Judgement]) -> Judgement:
    """The judgement of several replies. Most of them must have a value; else the most frequent
    reason is given. spread: the standard deviation of the values."""
    values = [draw.value for draw in draws if draw.value is not None]
    replies = " | ".join((draw.reply or "").strip() for draw in draws)
    if 2 * len(values) > len(draws):
        spread = stdev(values) if len(values) > 1 else None
        return Judgement(fmean(values), reply=replies, spread=spread)
    reasons = Counter(draw.reason for draw in draws if draw.value is None)
    unreadable = sum(draw.unreadable for draw in draws)
    return Judgement(
        None, reasons.most_common(1)[0][0], reply=replies, unreadable=2 * unreadable > len(draws)
    )
