"""How often the mixed model's intervals hold, and how often its tests find a rise, by simulation.

    python benchmarks/rises.py --grids 1000 --seed 1

Prints a table. Each line is a design, a spread of log-odds and a true rate without and with the
trigger. `shown` is the share of grids whose one-sided p passes a level; `above 2 points` that whose
one-sided bound of 95 % is above 2 points and whose p passes 0.05 / 6.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from emgrid.aggregate.rises import Pair, Rise, rises, within
from emgrid.aggregate.statistics import Flags, Floats
from simulated_counts import SPREADS, Design, Integers, Kind, counts, name_of, options_of, simulate

LEVELS = (0.05, 0.05 / 6, 0.025, 0.025 / 6)
MARGIN = 0.02
EIGHT, MORE, ONE_SEED, TWO_SEEDS = (
    Design(3, 8, 100),
    Design(3, 24, 33),
    Design(1, 8, 100),
    Design(2, 8, 100),
)


class Case(NamedTuple):
    spread: str
    rates: tuple[float, float]
    design: Design = EIGHT
    kind: Kind = "normal"
    hot_seed: bool = False


CASES = (
    *(Case(spread, (rate, rate)) for spread in SPREADS for rate in (0.05, 0.3)),
    *(Case("usual", (rate, rate), EIGHT, "t3") for rate in (0.05, 0.3)),
    Case("usual", (0.02, 0.02), EIGHT, "zero-inflated"),
    *(Case("usual", (0.05, 0.05), design) for design in (ONE_SEED, TWO_SEEDS, MORE)),
    *(
        Case("usual", rates, design)
        for design in (EIGHT, MORE)
        for rates in ((0.005, 0.05), (0.005, 0.2), (0.05, 0.2), (0.05, 0.15), (0.003, 0.203))
    ),
    Case("rough", (0.005, 0.2)),
    Case("usual", (0.003, 0.203), TWO_SEEDS),
    Case("usual", (0.003, 0.203), ONE_SEED),
    Case("usual", (0.005, 0.3), EIGHT, hot_seed=True),
)


def draw(case: Case, grids: int, rng: np.random.Generator) -> Integers:
    spread = SPREADS[case.spread]
    if not case.hot_seed:
        return simulate(rng, spread, case.rates, case.design, grids, case.kind)
    plain, hot = case.rates
    found = simulate(rng, spread, (plain, plain), case.design, grids)
    found[:, 1, 0] = simulate(rng, spread, (hot, hot), Design(1, *case.design[1:]), grids)[:, 1, 0]
    return found


def pairs_of(case: Case, grids: int, rng: np.random.Generator) -> list[Pair]:
    answers = case.design.answers
    return [within(*(counts(cell, answers) for cell in grid)) for grid in draw(case, grids, rng)]


def intervals(case: Case, found: list[Rise]) -> tuple[Floats, Floats, Flags]:
    """The ends of the 95 % intervals, and whether each holds the true rise."""
    truth = case.rates[1] - case.rates[0]
    low, high = np.array([rise.distribution.interval(0.95) for rise in found]).T
    return low, high, (low <= truth) & (truth <= high)


def measured(case: Case, found: list[Rise]) -> Iterator[str]:
    p = np.array([rise.p_one_sided for rise in found])
    yield from (f"{(p < level).mean():.3f}" for level in LEVELS)
    bound = np.array([rise.distribution.quantile(0.05) for rise in found])
    yield f"{((bound > MARGIN) & (p < LEVELS[1])).mean():.3f}"
    if case.hot_seed:
        yield from ("", "", "")
        return
    low, high, held = intervals(case, found)
    yield f"{held.mean():.3f}"
    yield f"{(~held & (low > case.rates[1] - case.rates[0])).mean():.3f}"
    yield f"{np.median(high - low) * 100:.1f}"


def main() -> None:
    options = options_of(__doc__, 1000)
    shown = " | ".join(f"shown at {level:.4f}" for level in LEVELS)
    print(f"| case | {shown} | above 2 points | coverage | too high | width, points | ms |")
    print("|---" * 10 + "|")
    for number, case in enumerate(CASES):
        rng = np.random.default_rng([options.seed, number])
        pairs = pairs_of(case, options.grids, rng)
        start = time.process_time()
        found = rises(pairs)
        each = (time.process_time() - start) / len(pairs) * 1000
        percent = " to ".join(f"{rate:.1%}" for rate in case.rates)
        name = f"{case.spread}{', hot seed' if case.hot_seed else ''}, {case.kind}, {percent}"
        print(
            f"| {name}, {name_of(case.design)} |",
            " | ".join(measured(case, found)),
            f"| {each:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
