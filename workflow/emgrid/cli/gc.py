"""emgrid gc: files in a grid's folder that no config needs, and their size."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.table import Table

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson
from emgrid.cli.project import open_grid, root_of
from emgrid.grid.grid import Grid
from emgrid.runtime.errors import EmgridError

SHOWN = 40  # entries in the table


def command(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CONFIG]...", help="Configs whose files stay; like --configfile."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--configfile",
            metavar="FILE",
            help=f"A config whose files stay; may be repeated; default: {DEFAULT_CONFIG}.",
        ),
    ] = None,
    as_json: AsJson = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed.")] = False,
    paid: Annotated[
        bool,
        typer.Option("--paid", help="Include answers and judgements that were paid for."),
    ] = False,
) -> None:
    """List files that no config needs; deletes only with --delete."""
    by_folder: dict[Path, list[Grid]] = {}
    for path in dict.fromkeys([*(files or []), *(configs or [])]) or [DEFAULT_CONFIG]:
        grid = open_grid(path)
        by_folder.setdefault(root_of(grid), []).append(grid)
    chosen = Chosen(delete, paid, as_json)
    results = [clear(grids, root, chosen) for root, grids in by_folder.items()]
    if as_json:
        print(json.dumps(results, indent=2, ensure_ascii=False))


class Chosen(NamedTuple):
    """What the command's options choose."""

    delete: bool
    paid: bool
    json: bool


def clear(grids: list[Grid], root: Path, args: Chosen) -> dict[str, Any]:
    """List what no config of a grid's folder needs and, with --delete, delete it while no run can
    start."""
    from emgrid.runtime.locks import prevent_runs

    if not root.is_dir():
        raise EmgridError(f"{root}: no such folder, so there is nothing to delete")
    if not args.delete:
        return look(grids, root, args)
    with prevent_runs(root):
        return look(grids, root, args)


def look(grids: list[Grid], root: Path, args: Chosen) -> dict[str, Any]:
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


def show(result: dict[str, Any], args: Chosen) -> None:
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
