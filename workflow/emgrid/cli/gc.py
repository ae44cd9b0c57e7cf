"""emgrid gc: files in a grid's folder that no config needs, and their size."""

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

SHOWN = 40  # entries in the table


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    gc = format.command(
        commands, "gc", "list files that no config needs; deletes only with --delete", several=True
    )
    gc.add_argument(
        "configs", nargs="*", type=Path, help="configs whose files stay; like --configfile"
    )
    gc.add_argument("--delete", action="store_true", help="delete what is listed")
    gc.add_argument(
        "--paid", action="store_true", help="include answers and judgements that were paid for"
    )
    gc.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check each grid's folder against all configs of that name."""
    by_name: dict[str, list[Grid]] = {}
    for path in dict.fromkeys([*args.files, *args.configs]) or [Path(DEFAULT)]:
        grid = read_grid(path)
        by_name.setdefault(grid.config.name, []).append(grid)
    results = [clear(grids, args) for grids in by_name.values()]
    if args.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))


def clear(grids: list[Grid], args: argparse.Namespace) -> dict[str, Any]:
    """List what is not needed and, with --delete, delete it while no run can start."""
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

    entries = unneeded(grids, root)
    to_delete = [entry for entry in entries if args.paid or not entry.paid]
    result = {
        "folder": str(root),
        "configs": len(grids),
        "unneeded": [
            {
                "path": str(entry.path),
                "what": entry.what,
                "bytes": entry.bytes,
                "rows": entry.rows,
                "whole": entry.keep is None,
                "paid": entry.paid,
            }
            for entry in entries
        ],
        "frees": freed(to_delete, root),
        "deleted": args.delete,
    }
    if not args.json:
        show(result, args)
    if args.delete:
        delete(to_delete, root)
    return result


def show(result: dict[str, Any], args: argparse.Namespace) -> None:
    console = format.console()
    configs = format.counted(result["configs"], "config")
    if not result["unneeded"]:
        console.print(
            f"{result['folder']}: {configs} need{'s' if result['configs'] == 1 else ''} everything "
            "in it"
        )
        return
    table = Table(title=f"{result['folder']}: not needed by {configs}")
    table.add_column("what", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("size", justify="right")
    for entry in result["unneeded"][:SHOWN]:
        paid = " (paid for)" if entry["paid"] else ""
        rows = "" if entry["rows"] is None else f"{entry['rows']:,}"
        table.add_row(entry["what"] + paid, entry["path"], rows, format.size(entry["bytes"]))
    console.print(table)
    for what, number in Counter(entry["what"] for entry in result["unneeded"][SHOWN:]).items():
        console.print(f"and {number:,} more: {what}")
    paid = sum(entry["paid"] for entry in result["unneeded"])
    if paid and not args.paid:
        console.print(f"{format.counted(paid, 'entry', 'entries')} paid for: kept without --paid")
    size = format.size(result["frees"])
    end = "is freed" if args.delete else "would be freed; --delete deletes it"
    console.print(f"{size} {end}")
