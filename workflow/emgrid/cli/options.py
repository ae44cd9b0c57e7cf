"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

from emgrid.grid.snakefile import DEFAULT

ConfigFile = Annotated[
    Path, typer.Option("--configfile", metavar="FILE", help="The grid's config.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DEFAULT_CONFIG = Path(DEFAULT)
