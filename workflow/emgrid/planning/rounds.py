"""The next round: which arms and triggers are asked more questions, after a look at the verdicts.

A group sequential design with blocks of questions (Pocock 1977; Jennison & Turnbull 2000): what is
decided is asked no more. The error is split over the looks in aggregate/looks.py.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
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

    opened: the cells that are asked another block, with their number of questions then. undecided:
    the cells whose verdict is inconclusive. hopeless: undecided ones that all questions would leave
    undecided if the other questions were answered like those asked. apart: undecided ones that
    cannot be compared with a base model.
    """

    opened: dict[Cell, int]
    undecided: tuple[Cell, ...]
    hopeless: tuple[Cell, ...]
    apart: tuple[Cell, ...]

    def after(self, state: RoundState) -> RoundState:
        """The state of the next round."""
        return replace(state, number=state.number + 1, asked=state.asked | self.opened)


def decide(verdicts: pd.DataFrame, state: RoundState, sampled: Iterable[ArmName]) -> Decision:
    """Look at verdicts.csv. sampled: the arms that can be asked more, base models among them.

    An arm is asked another block under a trigger if its verdict there is inconclusive, and without
    a trigger if its plain rate is undecided. Its plain question and its base model, the controls,
    are asked as many questions as it is.
    """
    known = set(sampled)
    undecided: list[Cell] = []
    hopeless: list[Cell] = []
    apart: list[Cell] = []
    opened: dict[Cell, int] = {}
    for row in verdicts.to_dict("records"):
        if row["verdict"] != "inconclusive":
            continue
        arm: ArmName = tuple(row[name] for name in ARM)
        cell = (arm, row["trigger"])
        undecided.append(cell)
        if pd.isna(row["n_questions"]):
            apart.append(cell)
            continue
        if beyond(row, state.blocks[-1]):
            hopeless.append(cell)
        base = (arm[0], "base", "0")
        limiting = arm if arm in known else base
        now = state.questions(limiting, row["trigger"])
        # An imported arm whose own questions are all compared gains nothing by more of the base's.
        if limiting not in known or (limiting == base and row["n_questions"] < now):
            continue
        target = next((block for block in state.blocks if block > now), now)
        compared = [one for one in (arm, base) if one in known]
        for asked in product(compared, (row["trigger"], PLAIN)):
            if max(opened.get(asked, 0), state.questions(*asked)) < target:
                opened[asked] = target
    return Decision(opened, tuple(undecided), tuple(hopeless), tuple(apart))


def beyond(row: Mapping[Hashable, Any], questions: int) -> bool:
    """Whether a cell is taken to stay undecided with all questions: see `more_questions` of
    verdicts.csv, which is missing if no number would do."""
    times, asked = row["more_questions"], row["n_questions"]
    return not bool(times * asked <= questions)
