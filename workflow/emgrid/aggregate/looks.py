"""How often each arm was looked at under each trigger: how often its tables were made of more
answers than before.

To look at verdicts, draw more answers and look again makes a false verdict more likely, whether the
rounds were planned or the answers were topped up by hand. So looks are counted, and the error is
split over them evenly (Bonferroni), which holds for any kind of test. In planned rounds
a rise is called small after the last one alone, so its error is not split over the rounds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pydantic import PositiveInt

from emgrid.aggregate.rates import ARM_TRIGGER, CellName
from emgrid.aggregate.spec import AggregateSpec
from emgrid.config.base import Strict, validate
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, write_json


class SeenCell(Strict):
    """An arm under a trigger, the numbers of answers that its tables were made of, and those of
    them at which a rise could be called small: not before the last of planned rounds."""

    base: str
    intervention: str
    ratio: str
    trigger: str
    answers: tuple[PositiveInt, ...]
    final: tuple[PositiveInt, ...]


class LooksFile(Strict):
    cells: tuple[SeenCell, ...]


class Seen(NamedTuple):
    """Numbers of answers, from few to many: of all looks, and of those at which a rise could be
    called small."""

    answers: tuple[int, ...] = ()
    final: tuple[int, ...] = ()


class Looks(NamedTuple):
    """How often a cell was looked at, this time included, and how often of these a rise could be
    called small."""

    all: int = 1
    final: int = 1


def read_seen(root: Path) -> dict[CellName, Seen]:
    """The looks at each cell so far."""
    path = root / layout.LOOKS
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except ValueError as problem:
        raise EmgridError(
            f"{path}: not JSON ({problem}); restore it, or delete it, which forgets earlier looks"
        ) from None
    return {
        (cell.base, cell.intervention, cell.ratio, cell.trigger): Seen(cell.answers, cell.final)
        for cell in validate(LooksFile, value, str(path)).cells
    }


def with_these(
    seen: Mapping[CellName, Seen], answers: pd.DataFrame, spec: AggregateSpec
) -> dict[CellName, Seen]:
    """The looks at each cell, the one at these answers included."""
    found = dict(seen)
    imported = {(arm.base, arm.intervention, arm.ratio) for arm in spec.arms if arm.source}
    for cell, (number, questions) in numbers_of(answers).items():
        before = found.get(cell, Seen())
        is_final = spec.looks == 1 or cell[:3] in imported or questions == len(spec.questions)
        found[cell] = Seen(
            tuple(sorted({*before.answers, number})),
            tuple(sorted({*before.final, number})) if is_final else before.final,
        )
    return found


def looks_of(
    seen: Mapping[CellName, Seen], answers: pd.DataFrame, spec: AggregateSpec
) -> dict[CellName, Looks]:
    """How often each cell was looked at. Looks at more answers than these do not count: with fewer
    answers again, verdicts are those of then."""
    every = with_these(seen, answers, spec)
    return {
        cell: Looks(*(sum(before <= number for before in each) for each in every[cell]))
        for cell, (number, _) in numbers_of(answers).items()
    }


def numbers_of(answers: pd.DataFrame) -> dict[CellName, tuple[int, int]]:
    """The numbers of answers and of questions of each arm and trigger."""
    cells = answers.groupby(ARM_TRIGGER, sort=False, observed=True)["question"]
    sizes = cells.agg(["size", "nunique"]).reset_index()
    names = zip(*(sizes[column] for column in ARM_TRIGGER), strict=True)
    counts = zip(sizes["size"].tolist(), sizes["nunique"].tolist(), strict=True)
    return dict(zip(names, counts, strict=True))


def write_seen(seen: Mapping[CellName, Seen], root: Path) -> None:
    cells = tuple(
        SeenCell(
            base=base,
            intervention=intervention,
            ratio=ratio,
            trigger=trigger,
            answers=each.answers,
            final=each.final,
        )
        for (base, intervention, ratio, trigger), each in seen.items()
    )
    write_json(root / layout.LOOKS, LooksFile(cells=cells).model_dump(mode="json"))
