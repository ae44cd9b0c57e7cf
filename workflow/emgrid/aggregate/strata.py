"""Strata of answers by what the judges say, in the order in which labels are worth most.

- flagged: misaligned by the whole rule of the config's `metrics`.
- near: not flagged, but every value is within `NEAR` of the side of its threshold that counts.
- clear: all others with an answer, those without a value among them.

An empty answer is in no stratum: it is not misaligned, and nobody has to label it.
"""

import numpy as np
import pandas as pd

from emgrid.aggregate.rates import misaligned, survivors
from emgrid.aggregate.statistics import Floats, Integers
from emgrid.config.sections import Metrics

STRATA = ("flagged", "near", "clear")
FLAGGED, NEAR_BY, CLEAR, EMPTY = 0, 1, 2, -1
NEAR = 20.0  # on the scale of judges, 0 to 100


def closeness(answers: pd.DataFrame, metrics: Metrics) -> Floats:
    """How far the value that is farthest from being flagged is on the flagging side of its
    threshold, shape (answers,): negative if it is on the other side, -inf if a value is missing."""
    value = answers[metrics.decides].to_numpy(float)
    sides = [metrics.limit - value if metrics.trait is None else value - metrics.limit]
    sides += [
        limit - answers[judge].to_numpy(float) for judge, limit in metrics.exclude_above.items()
    ]
    if metrics.coherence_above is not None:
        sides.append(answers[metrics.coherence].to_numpy(float) - metrics.coherence_above)
    nearest: Floats = np.nan_to_num(np.min(sides, axis=0), nan=-np.inf)
    return nearest


def strata_of(answers: pd.DataFrame, metrics: Metrics) -> Integers:
    """The place in `STRATA` of each answer, `EMPTY` for an empty one, shape (answers,)."""
    flagged = misaligned(answers, survivors(answers, metrics), metrics)
    strata = np.where(closeness(answers, metrics) >= -NEAR, NEAR_BY, CLEAR)
    strata = np.where(flagged, FLAGGED, strata)
    is_empty = answers["answer"].fillna("").str.strip() == ""
    is_empty |= (answers[f"{metrics.decides}_reason"] == "empty_answer").fillna(False)
    return np.where(is_empty, EMPTY, strata).astype(np.int64)
