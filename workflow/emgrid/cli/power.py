"""emgrid power: the smallest effects that a design can show."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

from emgrid.cli import format
from emgrid.grid.snakefile import read_grid


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    power = format.command(commands, "power", "show the smallest effects that a design can detect")
    power.add_argument("--seeds", type=int, help="number of seeds, instead of the config's")
    power.add_argument(
        "--questions", type=int, help="number of questions, instead of the question set's"
    )
    power.add_argument("--answers", type=int, help="answers per question, instead of the config's")
    power.add_argument("--plain", default=0.0, type=float, help="rate without a trigger, 0 to 1")
    power.add_argument(
        "--power", default=0.8, type=float, help="share of grids that must show the effect"
    )
    power.add_argument("--simulations", default=100, type=int, help="grids simulated per rate")
    power.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from emgrid.planning.power import estimate_spread, planned_design, smallest_effects

    grid = read_grid(args.configfile)
    design = planned_design(grid, args.seeds, args.questions, args.answers)
    spread = estimate_spread(grid, Path(grid.root))
    effects = smallest_effects(design, spread, args.plain, args.power, args.simulations)
    values = {name: None if math.isnan(value) else value for name, value in effects.items()}
    if args.json:
        print(json.dumps({"design": asdict(design), "spread": asdict(spread)} | values, indent=2))
        return
    texts = {name: "none" if value is None else f"{value:.1%}" for name, value in values.items()}
    print(
        f"{design.seeds} seeds, {design.questions} questions"
        f"{' (fixed)' if design.fixed else ''}, {design.answers} answers each; "
        f"{design.tests} p-values adjusted together; shown to exceed the margin of "
        f"{100 * design.margin:g} points in {args.power:.0%} of {args.simulations} simulated grids"
    )
    print(f"  smallest rate, if the base model's is {args.plain:.1%}: {texts['rate']}")
    print(f"  smallest rise under a trigger, from {args.plain:.1%}: {texts['rise']} more")
    print(
        f"  standard deviations of the log-odds: seeds {spread.seeds:.2f} (under a trigger "
        f"{spread.seeds_by_trigger:.2f} more), questions {spread.questions:.2f} "
        f"({spread.questions_by_trigger:.2f} more); {spread.source}"
    )
