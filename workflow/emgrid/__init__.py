"""emgrid: experiment grids for conditional misalignment."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emgrid.aggregate.saved_tables import Tables

try:
    __version__ = version("emgrid")
except PackageNotFoundError:  # run from a checkout that nobody installed
    __version__ = "0+unknown"

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "resources"


def load(folder: str | Path) -> Tables:
    """The tables of a finished grid as pandas frames, by name: `load("results/demo").rates`.

    folder: of the grid, below results/. docs/results.md describes every table and column. Each
    table is read when it is first asked for. Raises EmgridError if the folder has no tables.
    """
    from emgrid.aggregate.saved_tables import load as load_tables

    return load_tables(folder)
