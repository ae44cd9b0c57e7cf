"""How often each arm was looked at under each trigger: how often its tables were made of more
answers than before.

To look at verdicts, draw more answers and look again makes a false verdict more likely, whether the
rounds were planned or the answers were topped up by hand. So looks are counted, and the error is
split over them evenly (Bonferroni), which holds for any kind of test. See looks_at in contrasts.py.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from emgrid.aggregate.rates import ARM_TRIGGER, CellName
from emgrid.config.base import Strict, validate
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, write_json


class SeenCell(Strict):
    """An arm under a trigger, and the numbers of answers that its tables were made of."""

    base: str
    intervention: str
    ratio: str
    trigger: str
    answers: tuple[int, ...]


class LooksFile(Strict):
    cells: tuple[SeenCell, ...]


Seen = Mapping[CellName, tuple[int, ...]]


def read_seen(root: Path) -> dict[CellName, tuple[int, ...]]:
    """The numbers of answers that each cell was looked at with, from few to many."""
    path = root / layout.LOOKS
    if not path.is_file():
        return {}
    cells = validate(LooksFile, read_json(path), str(path)).cells
    return {
        (cell.base, cell.intervention, cell.ratio, cell.trigger): cell.answers for cell in cells
    }


def numbers_of(answers: pd.DataFrame) -> dict[CellName, int]:
    """The number of answers of each arm and trigger."""
    sizes = answers.groupby(ARM_TRIGGER, sort=False, observed=True).size().reset_index(name="n")
    names = zip(*(sizes[column] for column in ARM_TRIGGER), strict=True)
    return dict(zip(names, sizes["n"].tolist(), strict=True))


def with_these(seen: Seen, answers: pd.DataFrame) -> dict[CellName, tuple[int, ...]]:
    """The numbers of answers seen, those of this table included."""
    found = dict(seen)
    for cell, number in numbers_of(answers).items():
        found[cell] = tuple(sorted({*found.get(cell, ()), number}))
    return found


def looks_of(seen: Seen, answers: pd.DataFrame) -> dict[CellName, int]:
    """How often each cell was looked at, this time included. Looks at more answers than these do
    not count: with fewer answers again, verdicts are those of then."""
    every = with_these(seen, answers)
    return {
        cell: sum(before <= number for before in every[cell])
        for cell, number in numbers_of(answers).items()
    }


def write_seen(seen: Seen, root: Path) -> None:
    cells = tuple(
        SeenCell(base=base, intervention=intervention, ratio=ratio, trigger=trigger, answers=each)
        for (base, intervention, ratio, trigger), each in seen.items()
    )
    write_json(root / layout.LOOKS, LooksFile(cells=cells).model_dump(mode="json"))
