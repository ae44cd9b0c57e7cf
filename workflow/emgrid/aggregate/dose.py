"""Rates against doses: the share of misaligned rows, the benign rows that follow, and the
similarity of a trigger to the training context.

Spearman's rank correlation of the overall rate over the points of one family of arms (for
similarity, over the triggers of one arm), over the questions that all of these points were asked;
with fewer than two of them there is none. Its interval resamples seeds, then questions (shared by
all points), then answers, at rates with one more answer that is half misaligned: behaviour that no
answer showed may still be rare. The interval says how certain the ranks of these points are; the
number of points affects p alone, the share of orders of the points with as strong a correlation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata

from emgrid.aggregate.rates import cells_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import (
    FEWEST_QUESTIONS,
    Counts,
    Floats,
    Integers,
    common,
    mean_over_cells,
)
from emgrid.runtime.seeding import derive_seed

COLUMNS = ["over", *ARM, "trigger", "n_points", "n_questions", "spearman", "low", "high", "p"]
FEWEST = 3
ORDERS = 10_000  # of points, all of them up to seven
Point = tuple[float, Counts]


def dose_table(
    classified: pd.DataFrame, similarity: pd.DataFrame, spec: AggregateSpec
) -> pd.DataFrame:
    """One row for each family and trigger, and for each trained arm over its triggers."""
    cells = {name: cell.answers for name, cell in cells_of(classified, spec.questions).items()}
    rows = []
    curves = [("ratio", series) for series in spec.dilution]
    curves += [("benign_rows", series) for series in spec.sequential]
    for over, series in curves:
        for trigger in spec.triggers:
            points = [
                (point.dose, cells[(*point.arm, trigger)])
                for point in series.points
                if (*point.arm, trigger) in cells
            ]
            about = {"over": over, "base": series.base, "intervention": series.family}
            rows.append(about | {"trigger": trigger} | correlation(points, spec))
    for arm, similarities in similarity.groupby(ARM, sort=False):
        key = tuple(map(str, arm))
        points = [
            (float(dose), cells[(*key, str(trigger))])
            for trigger, dose in zip(
                similarities["trigger"], similarities["similarity"], strict=True
            )
            if (*key, str(trigger)) in cells
        ]
        about = {"over": "similarity"} | dict(zip(ARM, key, strict=True))
        rows.append(about | correlation(points, spec))
    enough = [row for row in rows if row["n_points"] >= FEWEST]
    return pd.DataFrame(enough, columns=COLUMNS)


def correlation(points: Sequence[Point], spec: AggregateSpec) -> dict[str, Any]:
    """Spearman's rank correlation of rate and dose over the questions that all points share, with
    interval and p; all missing if rates or doses are constant or these questions too few. A
    resample whose rates are all equal counts as zero correlation."""
    doses = np.array([dose for dose, _ in points])
    known = common(cell for _, cell in points) if points else np.array([], dtype=bool)
    counts = [cell.of(known) for _, cell in points]
    row = {"n_points": len(points), "n_questions": int(known.sum())}
    value = np.nan
    if row["n_questions"] >= FEWEST_QUESTIONS:
        rates = np.array([mean_over_cells(cell.rates()) for cell in counts])
        value = float(spearman(rates[None, :], doses)[0])
    if np.isnan(value):
        return row | dict.fromkeys(["spearman", "low", "high", "p"], np.nan)
    resamples = np.nan_to_num(spearman(resampled(counts, spec), doses))
    tail = (1 - spec.metrics.confidence) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail]).tolist()
    p = order_p(rates, doses)
    return row | {"spearman": value, "low": low, "high": high, "p": p}


def resampled(points: Sequence[Counts], spec: AggregateSpec) -> Floats:
    """Resampled overall rates, shape (resamples, points). points: counts over the same
    questions."""
    metrics = spec.metrics
    rng = np.random.default_rng(derive_seed("dose"))
    n_questions = points[0].trials.shape[1]
    questions = clusters(n_questions, metrics.resamples, rng)
    if metrics.fixed_questions:
        questions = np.broadcast_to(np.arange(n_questions), (metrics.resamples, n_questions))
    drawn = multiplicities(questions, n_questions)
    rates_by_point = []
    for point in points:
        asked = point.asked()
        counts = Counts(point.successes[asked], point.trials[asked])
        n_seeds = counts.trials.shape[0]
        seeds = multiplicities(clusters(n_seeds, metrics.resamples, rng), n_seeds)
        rates_by_point.append(redraw(counts, seeds, drawn, rng))
    return np.array(rates_by_point).T


def multiplicities(drawn: Integers, number: int) -> Integers:
    """How often each of `number` clusters was drawn in each resample, shape (resamples, number).
    drawn: indices, shape (resamples, draws)."""
    flat = drawn + number * np.arange(len(drawn))[:, None]
    counted: Integers = np.bincount(flat.ravel(), minlength=len(drawn) * number)
    return counted.reshape(len(drawn), number)


def redraw(
    counts: Counts, seeds: Integers, questions: Integers, rng: np.random.Generator
) -> Floats:
    """Overall rates with resampled answers, shape (resamples,). counts: shape (seeds, questions).
    seeds, questions: how often each was drawn, shapes (resamples, seeds) and (resamples,
    questions). All draws of a cell together are one binomial draw of as many answers. NaN if no
    cell that was drawn has an answer."""
    rates = (counts.successes + 0.5) / (counts.trials + 1)
    times = seeds[:, :, None] * questions[:, None, :] * (counts.trials > 0)
    some = np.nonzero(times)
    cells = some[1:]
    total = rng.binomial(times[some] * counts.trials[cells], rates[cells])
    by_question = np.zeros((len(times), times.shape[2]))
    np.add.at(by_question, (some[0], some[2]), total / counts.trials[cells])
    known = times.sum(axis=1)
    means = np.divide(by_question, known, out=np.zeros(known.shape), where=known > 0)
    weight = questions * (known > 0)
    number = weight.sum(axis=1)
    empty = np.full(number.shape, np.nan)
    total = (means * weight).sum(axis=1)
    overall: Floats = np.divide(total, number, out=empty, where=number > 0)
    return overall


def clusters(number: int, resamples: int, rng: np.random.Generator) -> Integers:
    """Indices of resampled clusters, shape (resamples, max(number - 1, 1)), with replacement: one
    fewer than there are, so that the variance of few is not underestimated (Rao & Wu 1988)."""
    return rng.integers(number, size=(resamples, max(number - 1, 1)))


def order_p(rates: Floats, doses: Floats) -> float:
    """Two-sided p for no correlation: a permutation test over the orders of the points. With k
    points it cannot be below 2 / k!."""

    def ranked(drawn: Floats, axis: int) -> Floats:
        """drawn: permuted rates, with the points along the last axis."""
        return spearman(np.atleast_2d(drawn), doses).reshape(drawn.shape[:axis])

    result = permutation_test(
        (rates,),
        ranked,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=ORDERS,
        rng=np.random.default_rng(derive_seed("dose")),
    )
    return float(result.pvalue)


def spearman(rates: Floats, doses: Floats) -> Floats:
    """Rank correlation of each row of rates, shape (resamples, points), with the doses, shape
    (points,); NaN if either is constant."""
    rate_ranks = rankdata(rates, axis=1)
    dose_ranks = rankdata(doses)
    rate_ranks = rate_ranks - rate_ranks.mean(axis=1, keepdims=True)
    dose_ranks = dose_ranks - dose_ranks.mean()
    norm = np.sqrt((rate_ranks**2).sum(axis=1) * (dose_ranks**2).sum())
    undefined = np.full(len(rate_ranks), np.nan)
    correlations: Floats = np.divide(rate_ranks @ dose_ranks, norm, out=undefined, where=norm > 0)
    return correlations
