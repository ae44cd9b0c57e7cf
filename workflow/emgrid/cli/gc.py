"""emgrid gc: what lies in a grid's folder that no config needs, and how much it takes."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from emgrid.cli import format
from emgrid.grid.grid import Grid
from emgrid.grid.snakefile import DEFAULT, read_grid
from emgrid.runtime.errors import EmgridError

SHOWN = 40  # entries of the table


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    gc = format.command(
        commands, "gc", "what no config needs; deletes nothing unless told to", several=True
    )
    gc.add_argument(
        "configs", nargs="*", type=Path, help="configs whose files stay; --configfile does the same"
    )
    gc.add_argument("--delete", action="store_true", help="delete what is listed")
    gc.add_argument("--paid", action="store_true", help="also answers and judgements paid for")
    gc.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Each grid's folder is looked at with all configs of its name."""
    by_name: dict[str, list[Grid]] = {}
    for path in dict.fromkeys([*args.files, *args.configs]) or [Path(DEFAULT)]:
        grid = read_grid(path)
        by_name.setdefault(grid.config.name, []).append(grid)
    found = [clear(grids, args) for grids in by_name.values()]
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))


def clear(grids: list[Grid], args: argparse.Namespace) -> dict[str, Any]:
    """Tell what is not needed, then delete it where that is asked for."""
    from emgrid.runtime.locks import prevent_runs

    root = Path(grids[0].root)
    if not root.is_dir():
        raise EmgridError(f"{root}: no such folder, so there is nothing to delete")
    if not args.delete:
        return look(grids, root, args)
    with prevent_runs(root):
        return look(grids, root, args)


def look(grids: list[Grid], root: Path, args: argparse.Namespace) -> dict[str, Any]:
    from emgrid.planning.garbage import delete, freed, unneeded

    found = unneeded(grids, root)
    going = [one for one in found if args.paid or not one.paid]
    told = {
        "folder": str(root),
        "configs": len(grids),
        "unneeded": [
            {
                "path": str(one.path),
                "what": one.what,
                "bytes": one.bytes,
                "rows": one.rows,
                "whole": one.keep is None,
                "paid": one.paid,
            }
            for one in found
        ],
        "frees": freed(going, root),
        "deleted": args.delete,
    }
    if not args.json:
        show(told, args)
    if args.delete:
        delete(going, root)
    return told


def show(told: dict[str, Any], args: argparse.Namespace) -> None:
    console = format.console()
    configs = format.counted(told["configs"], "config")
    if not told["unneeded"]:
        console.print(f"{told['folder']}: all that is there is needed by {configs}")
        return
    table = Table(title=f"{told['folder']}: what none of {configs} needs")
    table.add_column("what", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("size", justify="right")
    for one in told["unneeded"][:SHOWN]:
        paid = " (paid for)" if one["paid"] else ""
        rows = "" if one["rows"] is None else f"{one['rows']:,}"
        table.add_row(one["what"] + paid, one["path"], rows, format.size(one["bytes"]))
    console.print(table)
    for what, number in Counter(one["what"] for one in told["unneeded"][SHOWN:]).items():
        console.print(f"and {number:,} more: {what}")
    paid = sum(one["paid"] for one in told["unneeded"])
    if paid and not args.paid:
        console.print(f"{format.counted(paid, 'entry', 'entries')} paid for: kept without --paid")
    size = format.size(told["frees"])
    end = "is freed" if args.delete else "would be freed; --delete deletes it"
    console.print(f"{size} {end}")
