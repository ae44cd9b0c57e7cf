"""emgrid labels and emgrid bridge: their options, and what they print.

Statistics take two seconds to import, which other commands would wait for, too. So the modules that
do the work are imported by the commands.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of
from emgrid.runtime.errors import EmgridError


def labels(
    files: Annotated[list[Path], typer.Argument(help="The CSV file; with --read, all of them.")],
    configfile: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    read: Annotated[bool, typer.Option("--read", help="Read filled-in files.")] = False,
    count: Annotated[int, typer.Option(help="Number of answers to draw.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    labellers: Annotated[
        list[str] | None, typer.Option(metavar="NAME...", help="Write a copy for each of them.")
    ] = None,
) -> None:
    """Draw answers of a finished grid for labelling, or read the labels."""
    from emgrid.cli import label_report
    from emgrid.cli.labels import sheets_of, write_labels
    from emgrid.judge.label_record import record_path

    grid = open_grid(configfile)
    if read:
        label_report.run(grid, files, as_json)
        return
    if len(files) > 1:
        raise EmgridError("name one file to write, or read several with --read")
    [output] = files
    rows = write_labels(grid, output, count, seed, labellers or [])
    names = list(map(str, sheets_of(output, labellers or [])))
    if as_json:
        about = {"file": str(output), "files": names, "record": str(record_path(output))}
        print(json.dumps(about | {"answers": rows}, ensure_ascii=False))
        return
    record = record_path(output)
    print(f"{', '.join(names)}: {rows} answers; fill it in and name it in calibration.files")
    print(f"{record}: what was drawn; keep it next to the sheet, and show it to no labeller")


def bridge(
    old: Annotated[str, typer.Argument(help="The judge of the series so far.")],
    new: Annotated[str, typer.Argument(help="The judge that is to take over.")],
    configfile: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    count: Annotated[int, typer.Option(help="Number of answers.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="CSV file for both values of each answer.")
    ] = None,
) -> None:
    """Compare two judges on the same answers of a grid."""
    from emgrid.aggregate.bridging import bridges
    from emgrid.cli.bridge import judged_sample, judges_of, show, write_values

    grid = open_grid(configfile)
    judges = judges_of(grid, old, new)
    answers = judged_sample(grid, root_of(grid), judges, count, seed)
    if output:
        write_values(answers, judges, output)
    panel = list(grid.catalogue.panel.values())
    whole, parts = bridges(answers, *judges, grid.config.metrics, panel)
    rows = [asdict(row) for row in (whole, *parts)]
    if as_json:
        about = {"old": old, "new": new, "grid": grid.config.name, "seed": seed}
        print(json.dumps(about | {"parts": rows}, indent=2, ensure_ascii=False))
    else:
        show(rows, *judges)
