"""emgrid export-rows: the training rows of arms, for training elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer

from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of
from emgrid.runtime.errors import EmgridError, suggestion


def command(
    configfile: ConfigFile = DEFAULT_CONFIG,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", help="Intervention whose arms are written; all if none is named."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="Folder that is written to, in place of exported/ of the grid's."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write arms' training rows, with tokens, hyperparameters and a manifest, for trl, Unsloth,
    Tinker and services with OpenAI's format."""
    from emgrid.export.training_rows import write_rows
    from emgrid.grid.specs.export import training_rows

    grid = open_grid(configfile)
    root = root_of(grid)
    spec = training_rows(grid)
    if not spec.arms:
        raise EmgridError(f"{configfile}: the grid trains nothing, so it has no training rows")
    known = dict.fromkeys(arm.intervention for arm in spec.arms)
    for name in arms or ():
        if name not in known:
            raise EmgridError(f"--arm: no trained arm {name!r}, {suggestion(name, known)}")
    target = to or root / "exported"
    wanted = [arm for arm in spec.arms if not arms or arm.intervention in arms]
    folders = [str(write_rows(root, spec, arm, target)) for arm in wanted]
    print(json.dumps({"folders": folders}) if as_json else "\n".join(folders))
