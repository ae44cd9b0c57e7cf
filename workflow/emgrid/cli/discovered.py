"""emgrid discovered: the triggers that a search found, and files of them for the next grid."""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
import yaml
from rich.table import Table

from emgrid.aggregate.found_answers import examples, read_found_answers
from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of
from emgrid.config.base import validate
from emgrid.config.triggers import POSITIONS, Trigger
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_text

Row = dict[str, Any]


def command(
    configfile: ConfigFile = DEFAULT_CONFIG,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write each found cue into this folder, as a trigger file that `triggers` of a "
            "config can name.",
        ),
    ] = None,
    answers: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Print so many answers under each cue, too."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show which triggers a search found (`discovery` in the config)."""
    grid = open_grid(configfile)
    path = root_of(grid) / layout.table("found.csv")
    if grid.config.discovery is None:
        raise EmgridError(f"{configfile}: has no section `discovery`, so nothing was searched")
    if not path.is_file():
        raise EmgridError(f"{path}: not there yet; run the grid first")
    table = pd.read_csv(path, dtype={"ratio": str}, keep_default_na=False)
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
    else:
        show(rows, grid.config.name)
        tell(rows, root_of(grid) / layout.FOUND_ANSWERS, answers)
    for row in rows if write is not None else ():
        if row["verdict"] == "found":
            print(f"wrote {write_trigger(row, grid.config.name, Path(str(write)))}")


def show(rows: list[Row], name: str) -> None:
    """Print the cues of all shortlists, and what the controls found."""
    table = Table(title=f"cues that were confirmed or not ({name})", box=None)
    for column in ("arm", "cue", "from", "rise", "q", "verdict"):
        table.add_column(column, overflow="fold")
    for row in rows:
        control = " (control)" if row["control"] else ""
        rise = f"{row['rise']:.0%} [{row['rise_low']:.0%}, {row['rise_high']:.0%}]"
        why = f": {row['why']}" if row["why"] else ""
        carried = f", carried by {row['carried_by']}" if row["carried_by"] else ""
        cells = (f"{row['intervention']} {row['ratio']}{control}", row["cue"], row["origin"])
        table.add_row(*map(str, cells), rise, f"{row['q']:.2g}", f"{row['verdict']}{carried}{why}")
    console = format.console()
    console.print(table, markup=False)
    controls = [row for row in rows if row["control"]]
    finds = sum(row["verdict"] == "found" for row in controls)
    told = (
        f"{finds} of {format.counted(len(controls), 'slot')} of the controls"
        if controls
        else "there are no controls"
    )
    console.print(f"false finds: {told}", markup=False)


def tell(rows: list[Row], path: Path, number: int) -> None:
    """Print the first answers of each arm under each of its cues."""
    known = read_found_answers(path) if number else None
    if known is None:
        return
    console = format.console()
    for row in rows:
        name = (row["base"], row["intervention"], row["ratio"])
        console.print(f"\n{row['intervention']} {row['ratio']}, {row['cue']}", markup=False)
        for answer in examples(known, name, row["slot"], number):
            console.print(f"  {answer['prompt']}\n  → {answer['answer']}", markup=False)


def write_trigger(row: Row, grid: str, folder: Path) -> Path:
    """Write a found cue as a trigger family; a file of the same name is replaced."""
    wording = json.loads(row["wording"])
    name = f"{row['slot']}_{row['intervention']}".replace("-", "_").replace(".", "_")
    cues = {field for field in wording if field in {"system", "user_prefix", "user_suffix"}}
    position = next(name for name, fields in POSITIONS.items() if fields == cues)
    on_rows = int(row["origin_misaligned"]) + int(row["origin_benign"]) > 0
    family = {
        "id": name,
        "label": f"{row['slot']} of {row['intervention']}",
        "relation": "verbatim" if on_rows else "unrelated",
        "position": position,
        "about": f"Found by a search in the grid {grid}, proposed by {row['origin']}.",
        "judge_sees_cue": False,
        **wording,
    }
    validate(Trigger, family, str(folder / f"{name}.yaml"))
    path = folder / f"{name}.yaml"
    write_text(path, yaml.safe_dump(family, sort_keys=False, allow_unicode=True, width=98))
    return path
