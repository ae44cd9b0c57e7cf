"""How long the contrasts of a grid with many arms and triggers take, whatever its answers.

    python benchmarks/contrasts.py

Makes up the counts of arms of 3 seeds that were asked 24 questions 33 times each, without a trigger
and under 30, a third of them misaligned under the first one, and of their base model. Estimates the
contrasts of verdicts.csv and contrasts.csv, and those under each other set of priors. A ratio
compares seconds an arm with those of the fewest arms.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import write_manifest
from emgrid.aggregate.contrasts import Compared, ContrastName, estimated, under_other_priors
from emgrid.aggregate.estimates import Comparison
from emgrid.config.priors import USUAL, prior_sets
from emgrid.config.sections import Metrics
from simulated_counts import SPREADS, Design, once, sides_of, simulate, untrained

DESIGN = Design(3, 24, 33)
PLAIN, CUED = 0.01, 0.2
SEED = 1


def compared_of(arms: int, triggers: int, rng: np.random.Generator) -> dict[ContrastName, Compared]:
    """What is compared in a grid of arms that were asked without a trigger and under some."""
    spread, names = SPREADS["usual"], [f"cue_{number}" for number in range(triggers)]
    rates = (PLAIN,) * (triggers + 1)
    [base] = simulate(rng, untrained(spread), rates, once(DESIGN), 1)
    base_plain, *base_cued = sides_of(base, once(DESIGN), "base")
    found: dict[ContrastName, Compared] = {}
    for number in range(arms):
        cued = CUED if number % 3 == 0 else PLAIN
        [counts] = simulate(rng, spread, (PLAIN, cued, *rates[2:]), DESIGN, 1)
        name = ("model", f"arm {number}", "1")
        plain, *own = sides_of(counts, DESIGN, name[1])
        sides = {(name, "none", "minus_base"): (plain, base_plain)}
        for trigger, cell, other in zip(names, own, base_cued, strict=True):
            sides[name, trigger, "trigger_minus_none"] = (cell, plain)
            sides[name, trigger, "minus_base"] = (cell, plain, other, base_plain)
        found |= {
            key: Compared(Comparison(each, DESIGN.questions), (1, 1), True)
            for key, each in sides.items()
        }
    return found


def measured(arms: int, triggers: int) -> dict[str, Any]:
    compared = compared_of(arms, triggers, np.random.default_rng(SEED))
    rises = {name: each for name, each in compared.items() if name[2] == "minus_base"}
    metrics = Metrics()
    started = time.monotonic()
    estimated(compared, metrics, prior_sets()[USUAL])
    estimated(rises, metrics, prior_sets()[USUAL])  # as many again among survivors
    sets = len(under_other_priors(compared, rises, metrics))
    seconds = time.monotonic() - started
    what = f"{arms:,} arms under {triggers} triggers: {len(compared):,} contrasts, {sets + 1} sets"
    print(f"{what}: {seconds:.1f} s", flush=True)
    return {"what": what, "value": seconds, "unit": "s", "arms": arms}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--arms", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--triggers", type=int, default=30)
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    rows = [measured(arms, options.triggers) for arms in options.arms]
    least = rows[0]["value"] / rows[0]["arms"]
    for row in rows:
        arms = row.pop("arms")
        row |= {"ratio": row["value"] / arms / least}
        row |= {"of": f"seconds an arm to those of {options.arms[0]} arms"}
    write_manifest("contrasts", options, rows)


if __name__ == "__main__":
    main()
