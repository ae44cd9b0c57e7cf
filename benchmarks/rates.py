"""How often intervals of rates hold, and how often a rise is called small, by simulation.

    python benchmarks/rates.py --grids 1000 --seed 1

Prints two tables. The first has the share of 95 % intervals that hold the true rate. The second has
the share of arms whose rise over the base model is shown to be below 2 points: without a trigger
(arm - base), and under one (less the plain rate, less the base model's change). Where the true rise
is 2 points, each of them is wrong.
"""

from typing import NamedTuple

import numpy as np
from emgrid.aggregate.estimates import Comparison, upper_bounds
from emgrid.aggregate.rate_estimates import rate_estimates
from emgrid.config.priors import USUAL, prior_sets
from simulated_counts import (
    Design,
    Kind,
    Spread,
    counts,
    name_of,
    once,
    options_of,
    sides_of,
    simulate,
    untrained,
)

PRIORS = prior_sets()[USUAL]
MARGIN, CONFIDENCE = 0.02, 0.95
RATES = (0.003, 0.02, 0.05, 0.1, 0.3)
NEVER = 1e-4  # the rate of a base model that is as good as never misaligned
DESIGNS = (
    Design(3, 8, 100),
    Design(3, 24, 33),
    Design(3, 48, 16),
    Design(1, 8, 100),
    Design(10, 8, 100),
)


class Case(NamedTuple):
    """A true state of arm and base model: rates without and with the trigger."""

    name: str
    arm: tuple[float, float]
    base: float
    spread: Spread
    kind: Kind = "normal"


def spread(questions: float, shifts: float = 0.5) -> Spread:
    return Spread(questions, shifts, 0.3, 0.2)


class Questions(NamedTuple):
    """How the questions of a rate differ, and the true rates."""

    name: str
    spread: Spread
    kind: Kind = "normal"
    rates: tuple[float, ...] = RATES


QUESTIONS = (
    *(Questions(f"SD {sd:g}", spread(sd)) for sd in (1, 1.5, 2)),
    Questions("zero-inflated", spread(0.5), "zero-inflated", RATES[:4]),
    # A question cannot be misaligned more often than always.
    Questions("one question in fifteen", spread(0.5), "one in fifteen", RATES[:3]),
)
# With zero inflation a rate of 2 % is that of one question in fifteen at 30 %.
CASES = (
    *(Case(f"+2 points, SD {sd:g}", (0.003, 0.023), 0.003, spread(sd)) for sd in (1, 1.5)),
    Case("+2 points, SD 2", (0.003, 0.023), 0.003, spread(2, 1)),
    Case("+2 points, base never, SD 1.5", (NEVER, 0.02 + NEVER), NEVER, spread(1.5)),
    Case("+2 points, base never, SD 2", (NEVER, 0.02 + NEVER), NEVER, spread(2)),
    Case("+2 points, zero-inflated", (NEVER, 0.02), NEVER, spread(0.5), "zero-inflated"),
    *(Case(f"no rise, .3 %, SD {sd:g}", (0.003, 0.003), 0.003, spread(sd)) for sd in (1, 1.5, 2)),
)


def coverage(
    design: Design, of: Questions, rate: float, grids: int, rng: np.random.Generator
) -> float:
    """The share of 95 % intervals that hold the true rate."""
    drawn = simulate(rng, of.spread, (rate,), design, grids, of.kind)[:, 0]
    cells = [counts(cell, design.answers) for cell in drawn]
    estimates = rate_estimates(cells, [True] * grids, False, PRIORS.rates)
    intervals = [each.interval(CONFIDENCE) for each in estimates]
    return float(np.mean([each.low <= rate <= each.high for each in intervals]))


def called_small(
    design: Design, case: Case, grids: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The share of arms whose rise is shown to be below the margin: without a trigger, and under
    one."""
    arms = simulate(rng, case.spread, case.arm, design, grids, case.kind)
    bases = simulate(rng, untrained(case.spread), (case.base, case.base), once(design), grids)
    compared = []
    for arm, base in zip(arms, bases, strict=True):
        plain, cued = sides_of(arm, design)
        base_plain, base_cued = sides_of(base, once(design), "base")
        compared.append(Comparison((cued, base_cued), design.questions))
        compared.append(Comparison((cued, plain, base_cued, base_plain), design.questions))
    bounds = np.array(upper_bounds(compared, CONFIDENCE, False, PRIORS)).reshape(-1, 2)
    plain_share, trigger_share = (bounds < MARGIN).mean(axis=0).tolist()
    return plain_share, trigger_share


def main() -> None:
    options = options_of(__doc__, 200)
    rng = np.random.default_rng(options.seed)
    print("design", "questions", *(f"{rate:g}" for rate in RATES), sep="\t")
    for design in DESIGNS:
        for of in QUESTIONS:
            shares = [coverage(design, of, rate, options.grids, rng) for rate in of.rates]
            row = (name_of(design), of.name, *(f"{share:.3f}" for share in shares))
            print(*row, sep="\t", flush=True)
    print("\ndesign", "truth", "arm - base", "under the trigger", sep="\t")
    for design in DESIGNS:
        for case in CASES:
            shares = called_small(design, case, options.grids, rng)
            row = (name_of(design), case.name, *(f"{share:.3f}" for share in shares))
            print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
