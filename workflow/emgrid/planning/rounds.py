"""The next round: which arms and triggers are asked more questions, after a look at the verdicts.

A group sequential design with blocks of questions (Pocock 1977; Jennison & Turnbull 2000): what is
decided is asked no more. The error is split over the looks in aggregate/looks.py.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.spec import ARM
from emgrid.grid.rounds import RoundState

Cell = tuple[ArmName, str]  # and a trigger
PLAIN = "none"


@dataclass(frozen=True)
class Decision:
    """What a look at the verdicts leads to.

    opened: the cells that are asked the next block, with their number of questions then. undecided:
    those of arms that are still undecided. hopeless: undecided cells that all questions would leave
    undecided if the other questions were answered like those asked.
    """

    opened: dict[Cell, int]
    undecided: tuple[Cell, ...]
    hopeless: tuple[Cell, ...]

    def after(self, state: RoundState) -> RoundState:
        """The state of the next round."""
        return replace(state, number=state.number + 1, asked=state.asked | self.opened)


def decide(verdicts: pd.DataFrame, state: RoundState, sampled: Iterable[ArmName]) -> Decision:
    """Look at verdicts.csv. sampled: the arms that can be asked more, base models among them.

    An arm is asked more under a trigger if its verdict there is inconclusive, and without a trigger
    if the plain rate is undecided or other questions under a trigger have to be compared with it.
    Its base model is asked the same, as the control.
    """
    undecided: list[Cell] = []
    wanted: dict[Cell, None] = {}
    hopeless: list[Cell] = []
    for row in verdicts.to_dict("records"):
        arm: ArmName = tuple(row[name] for name in ARM)
        if row["verdict"] != "inconclusive":
            continue
        cell = (arm, row["trigger"])
        undecided.append(cell)
        for asked in (arm, (arm[0], "base", "0")):
            wanted |= {(asked, row["trigger"]): None, (asked, PLAIN): None}
        if beyond(row, state.blocks[-1]):
            hopeless.append(cell)
    known = set(sampled)
    opened = {}
    for arm, trigger in wanted:
        now = state.questions(arm, trigger)
        larger = [block for block in state.blocks if block > now]
        if larger and arm in known:
            opened[arm, trigger] = larger[0]
    return Decision(opened, tuple(undecided), tuple(hopeless))


def beyond(row: Mapping[Hashable, Any], questions: int) -> bool:
    """Whether a cell is taken to stay undecided with all questions: see `more_questions` of
    verdicts.csv, which is missing if no number would do."""
    times, asked = row["more_questions"], row["n_questions"]
    return not bool(times * asked <= questions)
