"""The command line: what a grid will cost, and its answers for people to label."""

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
from emgrid.plan import JudgeCost, count, differences, judge_costs
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
    return {
        "name": grid.config.name,
        "interventions": {name: asdict(count(grid, [name])) for name in grid.config.interventions},
        "total": asdict(count(grid)),
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
    if plan["judges"]:
        console.print(judge_table(plan["judges"]))
    if plan["differences"]:
        told = Table(title=f"differences from {plan['follows']}")
        for name in ("setting", "published", "here"):
            told.add_column(name, overflow="fold")
        for one in plan["differences"]:
            told.add_row(one["setting"], one["published"], one["here"])
        console.print(told)


def judge_table(judges: list[dict[str, Any]]) -> Table:
    table = Table(title="judges that are paid by the call")
    for name in ("judge", "model", "calls at most", "tokens at most", "USD at most", "USD spent"):
        table.add_column(name, justify="left" if name in ("judge", "model") else "right")
    for one in (JudgeCost(**fields) for fields in judges):
        price = "price unknown" if one.cost is None else f"{one.cost:,.2f}"
        cells = [f"{one.calls:,}", f"{one.tokens:,}", price, f"{one.spent:,.2f}"]
        table.add_row(one.judge, one.model, *cells)
    return table


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
    args = parser.parse_args()
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
