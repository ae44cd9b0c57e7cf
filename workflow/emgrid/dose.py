"""Rates against doses: the share of misaligned rows, the benign rows that follow, and how near a
trigger is to the training context.

Spearman's rank correlation of the overall rate over the points of one family of arms (or, for
similarity, over the triggers of one arm). Its interval resamples seeds, then questions, with the
questions shared by all points.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from emgrid.rates import cells_of
from emgrid.seeds import derive_seed
from emgrid.statistics import Counts, Floats, mean_over_cells
from emgrid.tables import ARM, AggregateSpec

COLUMNS = ["over", *ARM, "trigger", "n_points", "spearman", "low", "high"]
FEWEST = 3
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
            found = [(point.dose, cells[(*point.arm, trigger)]) for point in one.points]
            about = {"over": over, "base": one.base, "intervention": one.family}
            rows.append(about | {"trigger": trigger} | correlation(found, spec))
    for arm, near in similarity.groupby(ARM, sort=False):
        key = tuple(map(str, arm))
        found = [
            (float(dose), cells[(*key, str(trigger))])
            for trigger, dose in zip(near["trigger"], near["similarity"], strict=True)
        ]
        about = {"over": "similarity"} | dict(zip(ARM, key, strict=True))
        rows.append(about | correlation(found, spec))
    kept = [row for row in rows if row["n_points"] >= FEWEST]
    return pd.DataFrame(kept, columns=COLUMNS)


def correlation(points: Sequence[Point], spec: AggregateSpec) -> dict[str, Any]:
    """Spearman's rank correlation of rate and dose; NaN where either is constant."""
    metrics = spec.metrics
    rng = np.random.default_rng(derive_seed("dose"))
    doses = np.array([dose for dose, _ in points])
    rates = np.array([[mean_over_cells(one.rates()) for _, one in points]])
    n_questions = len(spec.questions)
    questions = rng.integers(n_questions, size=(metrics.resamples, n_questions))
    drawn = []
    for _, one in points:
        n_seeds = one.trials.shape[0]
        seeds = rng.integers(n_seeds, size=(metrics.resamples, n_seeds))
        drawn.append(mean_over_cells(one.rates()[seeds[:, :, None], questions[:, None, :]]))
    found = spearman(np.array(drawn).T, doses)
    tail = (1 - metrics.confidence) / 2
    known = found[np.isfinite(found)]
    low, high = np.quantile(known, [tail, 1 - tail]) if known.size else (np.nan, np.nan)
    value = float(spearman(rates, doses)[0])
    return {"n_points": len(points), "spearman": value, "low": float(low), "high": float(high)}


def spearman(rates: Floats, doses: Floats) -> Floats:
    """Rank correlation of each row of rates, shape (resamples, points), with the doses."""
    one = rankdata(rates, axis=1)
    two = rankdata(doses)
    one = one - one.mean(axis=1, keepdims=True)
    two = two - two.mean()
    norm = np.sqrt((one**2).sum(axis=1) * (two**2).sum())
    found: Floats = np.divide(one @ two, norm, out=np.full(len(one), np.nan), where=norm > 0)
    return found
