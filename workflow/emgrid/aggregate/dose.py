"""Rates against doses: the share of misaligned rows, the benign rows that follow, and how near a
trigger is to the training context.

Spearman's rank correlation of the overall rate over the points of one family of arms (or, for
similarity, over the triggers of one arm), each over the questions that all of these points know;
with fewer than two of them there is none. Its interval resamples seeds, then questions (shared by
all points), then answers, at rates that one answer more, half misaligned, would give: what no
answer showed may be rare. It says how sure the ranks of these points are; how many points there are
is in p alone, the share of all orders of the points that are as well ranked.
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
    Term,
    clusters,
    common,
    mean_over_cells,
    redraw,
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
    curves = [("ratio", one) for one in spec.dilution]
    curves += [("benign_rows", one) for one in spec.sequential]
    for over, one in curves:
        for trigger in spec.triggers:
            found = [
                (point.dose, cells[(*point.arm, trigger)])
                for point in one.points
                if (*point.arm, trigger) in cells
            ]
            about = {"over": over, "base": one.base, "intervention": one.family}
            rows.append(about | {"trigger": trigger} | correlation(found, spec))
    for arm, near in similarity.groupby(ARM, sort=False):
        key = tuple(map(str, arm))
        found = [
            (float(dose), cells[(*key, str(trigger))])
            for trigger, dose in zip(near["trigger"], near["similarity"], strict=True)
            if (*key, str(trigger)) in cells
        ]
        about = {"over": "similarity"} | dict(zip(ARM, key, strict=True))
        rows.append(about | correlation(found, spec))
    kept = [row for row in rows if row["n_points"] >= FEWEST]
    return pd.DataFrame(kept, columns=COLUMNS)


def correlation(points: Sequence[Point], spec: AggregateSpec) -> dict[str, Any]:
    """Spearman's rank correlation of rate and dose over the questions that all points know, with
    interval and p; all missing where either is constant, or these questions are too few. A resample
    whose rates are all equal counts as no correlation."""
    doses = np.array([dose for dose, _ in points])
    known = common(one for _, one in points) if points else np.array([], dtype=bool)
    counts = [one.of(known) for _, one in points]
    row = {"n_points": len(points), "n_questions": int(known.sum())}
    value = np.nan
    if row["n_questions"] >= FEWEST_QUESTIONS:
        rates = np.array([mean_over_cells(one.rates()) for one in counts])
        value = float(spearman(rates[None, :], doses)[0])
    if np.isnan(value):
        return row | dict.fromkeys(["spearman", "low", "high", "p"], np.nan)
    found = np.nan_to_num(spearman(resampled(counts, spec), doses))
    tail = (1 - spec.metrics.confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist()
    p = order_p(rates, doses)
    return row | {"spearman": value, "low": low, "high": high, "p": p}


def resampled(points: Sequence[Counts], spec: AggregateSpec) -> Floats:
    """Overall rates of the points, of shape (resamples, points). points: of the same questions."""
    metrics = spec.metrics
    rng = np.random.default_rng(derive_seed("dose"))
    n_questions = points[0].trials.shape[1]
    questions = clusters(n_questions, metrics.resamples, rng)
    if metrics.fixed_questions:
        questions = np.broadcast_to(np.arange(n_questions), (metrics.resamples, n_questions))
    drawn = []
    for one in points:
        counts = Term(1, one, "").asked().counts
        seeds = clusters(counts.trials.shape[0], metrics.resamples, rng)
        cell = (seeds[:, :, None], questions[:, None, :])
        rates = (counts.successes + 0.5) / (counts.trials + 1)
        drawn.append(mean_over_cells(redraw(counts.trials[cell], rates[cell], rng)))
    return np.array(drawn).T


def order_p(rates: Floats, doses: Floats) -> float:
    """Two-sided p of no correlation, over the orders of the points; k of them can give none below
    2 / k!."""

    def ranked(drawn: Floats, axis: int) -> Floats:
        """drawn: orders of the rates, along the last axis."""
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
    """Rank correlation of each row of rates, shape (resamples, points), with the doses."""
    one = rankdata(rates, axis=1)
    two = rankdata(doses)
    one = one - one.mean(axis=1, keepdims=True)
    two = two - two.mean()
    norm = np.sqrt((one**2).sum(axis=1) * (two**2).sum())
    found: Floats = np.divide(one @ two, norm, out=np.full(len(one), np.nan), where=norm > 0)
    return found
