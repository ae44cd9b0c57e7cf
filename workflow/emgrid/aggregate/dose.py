"""Rates against doses: the share of misaligned rows, the benign rows that follow, and the
similarity of a trigger to the training context.

Spearman's rank correlation of the overall rate over the points of one family of arms (for
similarity, over the triggers of one arm), over the questions that all of these points were asked;
with fewer than two of them there is none. Its interval resamples seeds (shared by the triggers of
an arm), then questions (shared by all points), then answers, at rates with one more answer that is
half misaligned: behaviour that no answer showed may still be rare. The interval says how certain
the ranks of these points are; the number of points affects p alone, the share of orders of the
points with as strong a correlation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata

from emgrid.aggregate.rates import CellName, cells_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import (
    FEWEST_QUESTIONS,
    Counts,
    Flags,
    Floats,
    Integers,
    common,
    mean_over_cells,
)
from emgrid.config.sections import Metrics
from emgrid.runtime.seeding import derive_seed

COLUMNS = ["over", *ARM, "trigger", "n_points", "n_questions", "spearman", "low", "high", "p"]
FEWEST = 3
ORDERS = 10_000  # of points, all of them up to seven
Point = tuple[float, CellName]


def dose_table(
    classified: pd.DataFrame, similarity: pd.DataFrame, spec: AggregateSpec
) -> pd.DataFrame:
    """One row for each family and trigger, and for each trained arm over its triggers."""
    counted = cells_of(classified, spec.questions).items()
    cells = Cells({name: cell.answers for name, cell in counted}, spec.metrics)
    rows = []
    curves = [("ratio", series) for series in spec.dilution]
    curves += [("benign_rows", series) for series in spec.sequential]
    for over, series in curves:
        for trigger in spec.triggers:
            points: list[Point] = [(point.dose, (*point.arm, trigger)) for point in series.points]
            about = {"over": over, "base": series.base, "intervention": series.family}
            rows.append(about | {"trigger": trigger} | correlation(points, cells))
    for arm, similarities in similarity.groupby(ARM, sort=False):
        key = tuple(map(str, arm))
        doses = zip(similarities["similarity"], similarities["trigger"], strict=True)
        points = [(float(dose), (*key, str(trigger))) for dose, trigger in doses]
        about = {"over": "similarity"} | dict(zip(ARM, key, strict=True))
        rows.append(about | correlation(points, cells))
    enough = [row for row in rows if row["n_points"] >= FEWEST]
    return pd.DataFrame(enough, columns=COLUMNS)


@dataclass(frozen=True)
class Cells:
    """The counts of each arm and trigger. drawn: their resampled rates, which are made once for all
    curves that a cell is on."""

    counts: dict[CellName, Counts]
    metrics: Metrics
    drawn: dict[tuple[CellName, bytes], Floats] = field(default_factory=dict)

    def resampled(self, name: CellName, known: Flags) -> Floats:
        """Resampled overall rates over the known questions, shape (resamples,). Cells draw the same
        questions, and those of one arm the same seeds."""
        key = (name, known.tobytes())
        if key not in self.drawn:
            counts = self.counts[name].of(known)
            asked = counts.asked()
            counts = Counts(counts.successes[asked], counts.trials[asked])
            n_seeds, n_questions = counts.trials.shape
            seeds = self.clusters(n_seeds, "seeds", *name[: len(ARM)])
            questions = self.clusters(n_questions, "questions")
            if self.metrics.fixed_questions:
                questions = np.ones_like(questions)
            self.drawn[key] = redraw(counts, seeds, questions, random("answers", *name))
        return self.drawn[key]

    def clusters(self, number: int, *parts: str) -> Integers:
        return multiplicities(clusters(number, self.metrics.resamples, random(*parts)), number)


def random(*parts: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed("dose", *parts))


def correlation(points: Sequence[Point], cells: Cells) -> dict[str, Any]:
    """Spearman's rank correlation of rate and dose over the questions that all points share, with
    interval and p; all missing if rates or doses are constant or these questions too few. A
    resample whose rates are all equal counts as zero correlation. Points without answers are left
    out."""
    points = [(dose, name) for dose, name in points if name in cells.counts]
    doses = np.array([dose for dose, _ in points])
    counts = [cells.counts[name] for _, name in points]
    known = common(counts) if points else np.array([], dtype=bool)
    row = {"n_points": len(points), "n_questions": int(known.sum())}
    value = np.nan
    if row["n_questions"] >= FEWEST_QUESTIONS:
        rates = np.array([mean_over_cells(cell.of(known).rates()) for cell in counts])
        value = float(spearman(rates[None, :], doses)[0])
    if np.isnan(value):
        return row | dict.fromkeys(["spearman", "low", "high", "p"], np.nan)
    drawn = np.array([cells.resampled(name, known) for _, name in points]).T
    tail = (1 - cells.metrics.confidence) / 2
    resamples = np.nan_to_num(spearman(drawn, doses))
    low, high = np.quantile(resamples, [tail, 1 - tail]).tolist()
    p = order_p(rates, doses)
    return row | {"spearman": value, "low": low, "high": high, "p": p}


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
