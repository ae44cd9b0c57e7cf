"""Single questions that rise under a trigger: tables/existence.csv.

One row per arm, trigger and question whose p, adjusted over the triggers and questions of the arm,
is below 1. The tests are those of existence.py. Adjusted p-values are multiplied by the number of
looks, see looks.py.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emgrid.aggregate.contrasts import NO_LOOKS
from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.existence import Asked, Existence, existence
from emgrid.aggregate.looks import Looks
from emgrid.aggregate.rates import CellCounts, CellName, cells_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import Integers

COUNTS = ["n_plain", "misaligned_plain", "n_trigger", "misaligned_trigger"]
COLUMNS = [
    *ARM, "trigger", "question", *COUNTS, "p", "p_holm", "p_repeated", "repeated_holm", "n_tests",
]  # fmt: skip


def existence_table(
    classified: pd.DataFrame, spec: AggregateSpec, looks: Mapping[CellName, Looks] = NO_LOOKS
) -> pd.DataFrame:
    """The rows of all arms but the base models. Answers without a value count as not misaligned.
    looks: how often each cell was looked at, if more than once."""
    cells = cells_of(classified, spec.questions)
    arms = dict.fromkeys((arm.base, arm.intervention, arm.ratio) for arm in spec.arms)
    rows = []
    for arm in arms:
        triggers = [name for name in spec.triggers if (*arm, name) in cells and name != "none"]
        if arm[1] == "base" or (*arm, "none") not in cells or not triggers:
            continue
        base = (arm[0], "base", "0")
        compared = [
            looks.get((*one, name), Looks()).all for one in (arm, base) for name in spec.triggers
        ]
        rows += rows_of(arm, triggers, cells, spec, max(spec.looks, *compared))
    return pd.DataFrame(rows, columns=COLUMNS)


def rows_of(
    arm: ArmName,
    triggers: list[str],
    cells: dict[CellName, CellCounts],
    spec: AggregateSpec,
    looks: int,
) -> list[dict[str, object]]:
    own = asked([cells[(*arm, trigger)] for trigger in triggers])
    plain = asked([cells[(*arm, "none")]])
    base = (arm[0], "base", "0")
    names = [(*base, trigger) for trigger in ["none", *triggers]]
    found: Existence
    if all(name in cells for name in names):
        base_plain, *base_own = (cells[name] for name in names)
        found = existence(own, plain, asked(base_own), asked([base_plain]))
    else:
        found = existence(own, plain)
    n_tests = int(np.isfinite(found.p).sum())
    p_holm = np.minimum(found.p_holm * looks, 1.0)
    repeated_holm = np.minimum(found.repeated_holm * looks, 1.0)
    counts: list[Integers] = [
        np.broadcast_to(each.sum(axis=-2), found.p.shape)
        for each in (plain.trials, plain.successes, own.trials, own.successes)
    ]
    return [
        dict(zip(ARM, arm, strict=True))
        | {"trigger": triggers[row], "question": spec.questions[column]}
        | {name: int(each[row, column]) for name, each in zip(COUNTS, counts, strict=True)}
        | {"p": found.p[row, column], "p_holm": p_holm[row, column]}
        | {"p_repeated": found.p_repeated[row, column]}
        | {"repeated_holm": repeated_holm[row, column], "n_tests": n_tests}
        for row, column in zip(*np.nonzero(p_holm < 1), strict=True)
    ]


def asked(cells: list[CellCounts]) -> Asked:
    """The counts over all answers, of shape (cells, seeds, questions)."""
    successes, trials = (
        np.stack([getattr(cell.answers, name) for cell in cells])
        for name in ("successes", "trials")
    )
    return Asked(successes, trials)
