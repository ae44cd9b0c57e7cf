"""The command line: what a grid will cost and can show, and its answers for people to label."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emgrid.errors import run_stage
from emgrid.grid import Grid
from emgrid.load import load_config
from emgrid.plan import CallCost, count, differences, judge_costs, served_costs
from emgrid.start import DEFAULT, complete
from emgrid.strict import read_yaml

NAMES = {
    "arms": "arms",
    "trained": "models trained",
    "drawn": "answers drawn to train on",
    "answers": "answers",
    "judge_calls": "judge calls",
}


def read_grid(path: Path) -> Grid:
    value, origin = complete(read_yaml(path), [str(path)])
    return Grid(load_config(value, origin))


def planned(grid: Grid) -> dict[str, Any]:
    """Everything that `emgrid plan` says, as plain values."""
    published = grid.config.published
    following = count(grid, published.interventions, published.triggers) if published else None
    served = [one.intervention for one in grid.config.served]
    names = dict.fromkeys([*grid.config.interventions, *served])
    return {
        "name": grid.config.name,
        "interventions": {name: asdict(count(grid, [name])) for name in names},
        "total": asdict(count(grid)),
        "served": [asdict(one) for one in served_costs(grid)],
        "judges": [asdict(one) for one in judge_costs(grid)],
        "follows": published.source if published else None,
        "following": asdict(following) if following else None,
        "differences": [one.model_dump() for one in differences(grid)],
    }


def show(plan: dict[str, Any]) -> None:
    console = Console(width=max(Console().width, 100))
    table = Table(title=f"grid {plan['name']}")
    table.add_column("intervention", no_wrap=True)
    for name in NAMES.values():
        table.add_column(name, justify="right")
    rows = list(plan["interventions"].items())
    table_rows = [*rows, ("all, shared stages once", plan["total"])]
    if plan["following"]:
        table_rows.append(("of these as published", plan["following"]))
    for place, (name, counts) in enumerate(table_rows, start=1):
        cells = ["?" if counts[key] is None else f"{counts[key]:,}" for key in NAMES]
        table.add_row(name, *cells, end_section=place == len(rows))
    console.print(table)
    for key, what in (("served", "served models"), ("judges", "judges")):
        if plan[key]:
            console.print(call_table(f"{what} that are paid by the call", plan[key]))
    if plan["differences"]:
        told = Table(title=f"differences from {plan['follows']}")
        for name in ("setting", "published", "here"):
            told.add_column(name, overflow="fold")
        for one in plan["differences"]:
            told.add_row(one["setting"], one["published"], one["here"])
        console.print(told)


def call_table(title: str, costs: list[dict[str, Any]]) -> Table:
    table = Table(title=title)
    for name in ("name", "model", "calls at most", "tokens at most", "USD at most", "USD spent"):
        table.add_column(name, justify="left" if name in ("name", "model") else "right")
    for one in (CallCost(**fields) for fields in costs):
        price = "price unknown" if one.cost is None else f"{one.cost:,.2f}"
        cells = [f"{one.calls:,}", f"{one.tokens:,}", price, f"{one.spent:,.2f}"]
        table.add_row(one.name, one.model, *cells)
    return table


def add_power(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    power = commands.add_parser("power", help="the smallest effects that a design can show")
    power.add_argument("--configfile", default=DEFAULT, type=Path)
    power.add_argument("--seeds", type=int, help="instead of the config's number")
    power.add_argument("--questions", type=int, help="instead of the question set's number")
    power.add_argument("--answers", type=int, help="answers per question, instead of the config's")
    power.add_argument("--plain", default=0.0, type=float, help="rate without a trigger, 0 to 1")
    power.add_argument("--power", default=0.8, type=float, help="how often it must be shown")
    power.add_argument("--simulations", default=100, type=int, help="grids simulated per rate")
    power.add_argument("--json", action="store_true", help="for programs")


def show_power(args: argparse.Namespace) -> None:
    from emgrid.power import estimate_spread, planned_design, smallest_effects

    grid = read_grid(args.configfile)
    design = planned_design(grid, args.seeds, args.questions, args.answers)
    spread = estimate_spread(grid, Path(grid.root))
    found = smallest_effects(design, spread, args.plain, args.power, args.simulations)
    if args.json:
        print(json.dumps({"design": asdict(design), "spread": asdict(spread)} | found, indent=2))
        return
    told = {name: "none" if value != value else f"{value:.1%}" for name, value in found.items()}
    print(
        f"{design.seeds} seeds, {design.questions} questions"
        f"{' (fixed)' if design.fixed else ''}, {design.answers} answers each; "
        f"{design.tests} p-values adjusted together; shown in {args.power:.0%} of "
        f"{args.simulations} simulated grids"
    )
    print(f"  smallest rate told from the base model's {args.plain:.1%}: {told['rate']}")
    print(f"  smallest rise under a trigger, from {args.plain:.1%}: {told['rise']} more")
    print(
        f"  standard deviations of the log-odds: seeds {spread.seeds:.2f} (under a trigger "
        f"{spread.seeds_by_trigger:.2f} more), questions {spread.questions:.2f} "
        f"({spread.questions_by_trigger:.2f} more); {spread.source}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="count what a grid will train, sample and judge")
    plan.add_argument("--configfile", default=DEFAULT, type=Path)
    plan.add_argument("--json", action="store_true", help="for programs")
    labels = commands.add_parser("labels", help="write answers of a finished grid to be labelled")
    labels.add_argument("output", type=Path, help="the CSV file")
    labels.add_argument("--configfile", default=DEFAULT, type=Path)
    labels.add_argument("--count", default=100, type=int, help="how many answers")
    labels.add_argument("--seed", default=0, type=int, help="another seed, another sample")
    add_power(commands)
    args = parser.parse_args()
    if args.command == "power":
        show_power(args)
        return
    if args.command == "labels":
        from emgrid.labels import write_labels

        rows = write_labels(read_grid(args.configfile), args.output, args.count, args.seed)
        print(
            f"{args.output}: {rows} answers; fill in the columns and name it in calibration.files"
        )
        return
    found = planned(read_grid(args.configfile))
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found)


def run() -> None:
    run_stage(main)


if __name__ == "__main__":
    run()
