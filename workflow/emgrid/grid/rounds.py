"""Rounds: how many questions each arm is asked under each trigger so far.

The state is a file of the grid that `emgrid round` writes between two runs. A run only reads it, so
that each round is an ordinary run of the same graph of jobs.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import PositiveInt

from emgrid.aggregate.dose_points import ArmName
from emgrid.config.base import Strict, validate
from emgrid.config.sections import Rounds
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, write_json


class AskedCell(Strict):
    """An arm under a trigger, and how many of the ordered questions it is asked."""

    base: str
    intervention: str
    ratio: str
    trigger: str
    questions: PositiveInt


class RoundFile(Strict):
    """round: the number of the current round, from 1."""

    round: PositiveInt
    cells: tuple[AskedCell, ...]


@dataclass(frozen=True)
class RoundState:
    """number: of the current round, from 1. asked: the number of questions of each arm and trigger
    that is not at the first block any more."""

    blocks: tuple[int, ...]
    number: int
    asked: dict[tuple[ArmName, str], int]

    def questions(self, arm: ArmName, trigger: str) -> int:
        """How many questions an arm is asked under a trigger."""
        asked = self.asked.get((arm, trigger), 0)
        return min(max(asked, self.blocks[0]), self.blocks[-1])


def read_rounds(rounds: Rounds, folder: Path) -> RoundState:
    """The state of a grid in this folder; the first round if there is none yet."""
    path = folder / layout.ROUNDS
    if not path.is_file():
        return RoundState(rounds.blocks, 1, {})
    try:
        value = read_json(path)
    except ValueError as problem:
        raise EmgridError(
            f"{path}: not JSON ({problem}); delete it to begin with the first round, whose answers "
            "are in the stores"
        ) from None
    found = validate(RoundFile, value, str(path))
    asked = {
        ((cell.base, cell.intervention, cell.ratio), cell.trigger): cell.questions
        for cell in found.cells
    }
    return RoundState(rounds.blocks, found.round, asked)


def write_rounds(state: RoundState, folder: Path) -> None:
    cells = tuple(
        AskedCell(base=arm[0], intervention=arm[1], ratio=arm[2], trigger=trigger, questions=number)
        for (arm, trigger), number in state.asked.items()
    )
    write_json(
        folder / layout.ROUNDS, RoundFile(round=state.number, cells=cells).model_dump(mode="json")
    )
