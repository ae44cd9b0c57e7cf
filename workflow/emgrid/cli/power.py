"""emgrid power: how often a design reaches the true verdict, and which designs of equal cost do."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from emgrid.cli import format
from emgrid.grid.snakefile import read_grid


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    power = format.command(commands, "power", "show how often a design reaches the true verdict")
    power.add_argument("--seeds", type=int, help="number of seeds, instead of the config's")
    power.add_argument(
        "--questions", type=int, help="number of questions, instead of the question set's"
    )
    power.add_argument("--answers", type=int, help="answers per question, instead of the config's")
    power.add_argument("--base-answers", type=int, help="answers per question of the base model")
    power.add_argument("--plain", default=0.003, type=float, help="rate without a trigger, 0 to 1")
    power.add_argument("--rise", default=0.2, type=float, help="rise of the rate, 0 to 1")
    power.add_argument("--simulations", default=100, type=int, help="grids simulated per verdict")
    power.add_argument(
        "--search", action="store_true", help="also other designs of the same number of answers"
    )
    power.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from emgrid.config.priors import USUAL, prior_sets
    from emgrid.grid.design import designs_at_cost, planned_design
    from emgrid.planning.power import powers
    from emgrid.planning.spread import estimate_spread

    priors = prior_sets()[USUAL]
    grid = read_grid(args.configfile)
    design = planned_design(grid, args.seeds, args.questions, args.answers, args.base_answers)
    spread = estimate_spread(grid, Path(grid.root))
    others = designs_at_cost(design, design.cost) if args.search else []
    designs = list(dict.fromkeys([design, *others]))
    rows = [
        asdict(each)
        | {"cost": each.cost}
        | powers(each, spread, args.plain, args.rise, args.simulations, priors)
        for each in designs
    ]
    if args.json:
        print(json.dumps({"designs": rows, "spread": asdict(spread)}, indent=2))
        return
    print(
        f"{design.arms} arms, {design.triggers} triggers; margin {100 * design.margin:g} points; "
        f"plain rate {args.plain:.1%}, rise {args.rise:.0%}; {args.simulations} simulated grids "
        "for each verdict"
    )
    print(
        f"standard deviations of the log-odds {spread.source}: seeds {spread.seeds:.2f} (under a "
        f"trigger {spread.seeds_by_trigger:.2f} more), questions {spread.questions:.2f} "
        f"({spread.questions_by_trigger:.2f} more)"
    )
    table = Table(box=None)
    names = ["seeds", "questions", "answers", "base_answers", "cost"]
    verdicts = ["conditional", "clean", "overt"]
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for name in verdicts:
        table.add_column(f"P({name})", justify="right")
    for row in sorted(rows, key=lambda row: -min(row["conditional"], row["clean"])):
        numbers = [format.number(row[name]) for name in names]
        table.add_row(*numbers, *(f"{row[name]:.0%}" for name in verdicts))
    format.console().print(table)
