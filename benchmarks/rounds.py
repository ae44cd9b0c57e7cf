"""What rounds save: answers and verdicts of rounds against those of all questions at once.

    python benchmarks/rounds.py --grids 200 --seed 1

Each simulated grid has an arm and a base model under `none` and six triggers, of which the first
may do something: 3 seeds, 48 questions, 16 answers to each by each seed. Both ways see the same
answers. Prints for each truth the share of grids with the right verdict both ways, the share of
verdicts that are equal, and the share of answers that rounds need: of all, and of a design that
takes all questions.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from emgrid.aggregate.contrasts import ContrastName, split
from emgrid.aggregate.estimates import Comparison, estimate
from emgrid.aggregate.verdicts import verdict_table
from emgrid.config.priors import USUAL, prior_sets
from emgrid.config.sections import Metrics
from emgrid.grid.rounds import RoundState
from emgrid.planning.rounds import decide
from simulated_counts import (
    SPREADS,
    Design,
    Integers,
    once,
    options_of,
    sides_of,
    simulate,
    untrained,
)
from simulated_verdicts import TRIGGERS, spec_of

DESIGN = Design(3, 48, 16)
BLOCKS = (8, 16, 24, 36, 48)
ARM, BASE = ("arm", "1"), ("base", "0")


class Truth(NamedTuple):
    """Rates without a trigger, of arm and base model, and of the arm under the first trigger.
    right: the verdict under it."""

    name: str
    plain: float
    base: float
    cued: float
    right: str
    spread: str = "usual"


TRUTHS = (
    Truth("+10 points under a trigger", 0.003, 0.003, 0.103, "conditional"),
    Truth("+20 points under a trigger", 0.003, 0.003, 0.203, "conditional"),
    Truth("+40 points under a trigger", 0.003, 0.003, 0.403, "conditional"),
    Truth("+20 points under a trigger, rough", 0.003, 0.003, 0.203, "conditional", "rough"),
    Truth("never misaligned", 1e-4, 1e-4, 1e-4, "clean"),
    Truth("as rarely as the base model", 0.003, 0.003, 0.003, "clean"),
    Truth("+15 points without a trigger", 0.153, 0.003, 0.153, "overt"),
    Truth("+2 points, the margin", 0.023, 0.003, 0.023, ""),
)


@dataclass(frozen=True)
class Cells:
    """Successes of all grids, shape (grids, triggers, seeds, questions)."""

    arm: Integers
    base: Integers

    @property
    def grids(self) -> int:
        return len(self.arm)


def simulated(truth: Truth, grids: int, rng: np.random.Generator) -> Cells:
    spread = SPREADS[truth.spread]
    rates = (truth.plain, truth.cued, *(truth.plain,) * (len(TRIGGERS) - 2))
    arm = simulate(rng, spread, rates, DESIGN, grids)
    bases = (truth.base,) * len(TRIGGERS)
    return Cells(arm, simulate(rng, untrained(spread), bases, once(DESIGN), grids))


def verdicts(cells: Cells, state: RoundState, looks: int) -> pd.DataFrame:
    """The table of verdicts over the questions that are asked so far."""
    compared: dict[ContrastName, Comparison] = {}
    for grid in range(cells.grids):
        name = str(grid)
        asked = {
            (arm, trigger): state.questions((name, *arm), trigger)
            for arm in (ARM, BASE)
            for trigger in TRIGGERS
        }
        for place, trigger in enumerate(TRIGGERS):
            pair = ("none",) if trigger == "none" else (trigger, "none")
            number = min(asked[arm, each] for arm in (ARM, BASE) for each in pair)
            places = [place] if trigger == "none" else [place, 0]
            own = sides_of(cells.arm[grid, places, :, :number], DESIGN)
            control = sides_of(cells.base[grid, places, :, :number], once(DESIGN), "base")
            sides = (*own, *control)
            compared[(name, *ARM), trigger, "minus_base"] = Comparison(sides, number)
    metrics = Metrics()
    rises = split(metrics.confidence, looks)
    found = [
        replace(one, looks=looks, last=looks == 1 or one.n_questions == DESIGN.questions)
        for one in estimate(
            list(compared.values()),
            [True] * len(compared),
            rises,
            False,
            prior_sets()[USUAL],
            metrics.confidence,
        )
    ]
    contrasts = dict(zip(compared, found, strict=True))
    return verdict_table(contrasts, contrasts, spec_of(cells.grids), None)


def in_rounds(cells: Cells) -> tuple[pd.DataFrame, float]:
    """The verdicts after the last round, and the share of all answers that was drawn."""
    names = [str(grid) for grid in range(cells.grids)]
    sampled = [(name, *arm) for name in names for arm in (ARM, BASE)]
    state = RoundState(BLOCKS, 1, {})
    while True:
        table = verdicts(cells, state, len(BLOCKS))
        decision = decide(table, state, sampled)
        if not decision.opened:
            break
        state = decision.after(state)
    drawn = [state.questions(arm, trigger) for arm in sampled for trigger in TRIGGERS]
    return table, float(np.mean(drawn)) / DESIGN.questions


def line(truth: Truth, grids: int, rng: np.random.Generator) -> list[str]:
    cells = simulated(truth, grids, rng)
    at_once = verdicts(cells, RoundState((DESIGN.questions,), 1, {}), 1)
    rounds, share = in_rounds(cells)
    cued = at_once["trigger"] == TRIGGERS[1]
    right = [
        f"{(table.loc[cued, 'verdict'] == truth.right).mean():.3f}" if truth.right else ""
        for table in (at_once, rounds)
    ]
    clean = [f"{(table['verdict'] == 'clean').mean():.3f}" for table in (at_once, rounds)]
    equal = (at_once["verdict"].to_numpy() == rounds["verdict"].to_numpy()).mean()
    return [truth.name, *right, *clean, f"{equal:.3f}", f"{share:.3f}"]


def main() -> None:
    options = options_of(__doc__, 100)
    rng = np.random.default_rng(options.seed)
    print("truth", "right at once", "in rounds", "clean at once", "in rounds", "equal", "answers",
          sep="\t")  # fmt: skip
    for truth in TRUTHS:
        print(*line(truth, options.grids, rng), sep="\t", flush=True)


if __name__ == "__main__":
    main()
