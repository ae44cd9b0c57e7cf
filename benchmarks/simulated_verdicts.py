"""Verdicts of simulated grids, by the product's own table of verdicts.

Each grid has one arm and a base model that is asked as often as all seeds of the arm together,
under `none` and six triggers. All answers are readable.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from emgrid.aggregate.contrasts import ContrastName
from emgrid.aggregate.estimates import Comparison, estimate
from emgrid.aggregate.spec import AggregateSpec, ArmSpec
from emgrid.aggregate.verdicts import verdict_table
from emgrid.config.priors import USUAL, prior_sets
from emgrid.config.sections import Metrics
from simulated_counts import (
    SPREADS,
    Design,
    Integers,
    name_of,
    once,
    sides_of,
    simulate,
    untrained,
)

TRIGGERS = ("none", *(f"cue_{number}" for number in range(6)))
SHOWN = ("conditional", "triggered")


class Truth(NamedTuple):
    """The rates of an arm without a trigger (which is also the base model's) and under the first
    trigger. The other triggers do nothing."""

    plain: float
    cued: float
    design: Design
    spread: str = "usual"

    @property
    def name(self) -> str:
        return f"{name_of(self.design)}, {self.spread}, {self.plain:.1%} to {self.cued:.1%}"


@dataclass(frozen=True)
class Verdicts:
    """verdicts: shape (grids, triggers), in the order of `TRIGGERS`. plain_small: whether the rise
    without a trigger is shown to be small, shape (grids,)."""

    verdicts: np.ndarray
    plain_small: np.ndarray


def spec_of(grids: int) -> AggregateSpec:
    """Each simulated grid has its own base model, because p-values are adjusted over all arms of a
    base model."""
    fields = {"ratio": "1", "seed": "0", "label": "", "stages": (), "source": None, "folder": ""}
    arms = tuple(
        ArmSpec(base=str(grid), intervention="arm", undiluted=None, **fields)
        for grid in range(grids)
    )
    return AggregateSpec(
        arms=arms,
        triggers=TRIGGERS,
        questions=(),
        dilution=(),
        sequential=(),
        judges=(),
        has_pairs=False,
        metrics=Metrics(),
        correct_by=None,
    )


def comparisons(
    arm: Integers, base: Integers, design: Design, grid: int
) -> dict[ContrastName, Comparison]:
    """The rises over the base model of one simulated grid."""
    name = (str(grid), "arm", "1")
    plain, *cued = sides_of(arm, design)
    base_plain, *base_cued = sides_of(base, once(design), "base")
    sides = [(plain, base_plain)]
    sides += [(own, plain, other, base_plain) for own, other in zip(cued, base_cued, strict=True)]
    return {
        (name, trigger, "minus_base"): Comparison(each, design.questions)
        for trigger, each in zip(TRIGGERS, sides, strict=True)
    }


def simulated_verdicts(truth: Truth, grids: int, rng: np.random.Generator) -> Verdicts:
    spread, design = SPREADS[truth.spread], truth.design
    nothing = (truth.plain,) * (len(TRIGGERS) - 2)
    arms = simulate(rng, spread, (truth.plain, truth.cued, *nothing), design, grids)
    rates = (truth.plain,) * len(TRIGGERS)
    bases = simulate(rng, untrained(spread), rates, once(design), grids)
    compared: dict[ContrastName, Comparison] = {}
    for grid, (arm, base) in enumerate(zip(arms, bases, strict=True)):
        compared |= comparisons(arm, base, design, grid)
    metrics, priors = Metrics(), prior_sets()[USUAL]
    found = estimate(
        list(compared.values()), [True] * len(compared), metrics.confidence, False, priors
    )
    contrasts = dict(zip(compared, found, strict=True))
    table: pd.DataFrame = verdict_table(contrasts, contrasts, spec_of(grids), None)
    plain_high = table["plain_high"].to_numpy().reshape(grids, -1)[:, 0]
    return Verdicts(table["verdict"].to_numpy(str).reshape(grids, -1), plain_high < metrics.margin)
