"""How often intervals of rates hold, and how often a rise is called small, by simulation.

    python benchmarks/rates.py --grids 1000 --seed 1

Prints two tables. The first has the share of 95 % intervals that hold the true rate. The second has
the share of arms whose rise over the base model is shown to be below 2 points: without a trigger
(arm - base), and under one (less the plain rate, less the base model's change). Where the true rise
is 2 points, each of them is wrong.
"""

import argparse
from typing import NamedTuple

import numpy as np
from emgrid.aggregate.estimates import Comparison, Side, upper_bounds
from emgrid.aggregate.rate_estimates import rate_estimates
from emgrid.aggregate.statistics import Counts
from emgrid.config.priors import USUAL, prior_sets
from simulated_counts import Design, Integers, Kind, Spread, simulate

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


# With zero inflation one question in fifteen is hot, at 30 % if the rate is 2 %.
CASES = (
    *(Case(f"+2 points, SD {sd:g}", (0.003, 0.023), 0.003, spread(sd)) for sd in (1, 1.5)),
    Case("+2 points, SD 2", (0.003, 0.023), 0.003, spread(2, 1)),
    Case("+2 points, base never, SD 1.5", (NEVER, 0.02 + NEVER), NEVER, spread(1.5)),
    Case("+2 points, base never, SD 2", (NEVER, 0.02 + NEVER), NEVER, spread(2)),
    Case("+2 points, zero-inflated", (NEVER, 0.02), NEVER, spread(0.5), "zero-inflated"),
    *(Case(f"no rise, .3 %, SD {sd:g}", (0.003, 0.003), 0.003, spread(sd)) for sd in (1, 1.5, 2)),
)


def counts(successes: Integers, answers: int) -> Counts:
    return Counts(successes, np.full(successes.shape, answers))


def coverage(design: Design, grids: int, rng: np.random.Generator) -> None:
    for name, of_questions, kind in (
        ("SD 1", spread(1), "normal"),
        ("SD 1.5", spread(1.5), "normal"),
        ("SD 2", spread(2), "normal"),
        ("zero-inflated", spread(0.5), "zero-inflated"),
    ):
        shares = []
        # A hot question cannot be misaligned more often than always.
        for rate in RATES if kind == "normal" else RATES[:3]:
            drawn = simulate(rng, of_questions, (rate, rate), design, grids, kind)[:, 0]
            cells = [counts(cell, design.answers) for cell in drawn]
            estimates = rate_estimates(cells, [True] * grids, False, PRIORS.rates)
            intervals = [each.interval(CONFIDENCE) for each in estimates]
            held = np.mean([each.low <= rate <= each.high for each in intervals])
            shares.append(f"{held:.3f}")
        print("x".join(map(str, design)), name, *shares, sep="\t", flush=True)


def called_small(design: Design, case: Case, grids: int, rng: np.random.Generator) -> None:
    arms = simulate(rng, case.spread, case.arm, design, grids, case.kind)
    once = Design(1, design.questions, design.seeds * design.answers)
    alike = case.spread._replace(seeds=0.0, seed_shifts=0.0)
    bases = simulate(rng, alike, (case.base, case.base), once, grids)
    compared = []
    for arm, base in zip(arms, bases, strict=True):
        seeds = tuple(range(design.seeds))
        plain, cued = (
            Side(counts(cell, design.answers), seeds, ("", "arm", ""), True) for cell in arm
        )
        controls = [
            Side(counts(cell, once.answers), (0,), ("", "base", ""), False) for cell in base
        ]
        compared.append(Comparison((cued, controls[1]), design.questions))
        compared.append(Comparison((cued, plain, controls[1], controls[0]), design.questions))
    bounds = np.array(upper_bounds(compared, CONFIDENCE, False, PRIORS)).reshape(-1, 2)
    shares = (bounds < MARGIN).mean(axis=0)
    numbers = [f"{share:.3f}" for share in shares]
    print("x".join(map(str, design)), case.name, *numbers, sep="\t", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, default=200, help="simulated grids a line")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    print("design", "questions", *(f"{rate:g}" for rate in RATES), sep="\t")
    for design in DESIGNS:
        coverage(design, args.grids, rng)
    print("\ndesign", "truth", "arm - base", "under the trigger", sep="\t")
    for design in DESIGNS:
        for case in CASES:
            called_small(design, case, args.grids, rng)


if __name__ == "__main__":
    main()
