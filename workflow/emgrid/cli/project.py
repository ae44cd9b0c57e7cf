"""The folder that a config's paths and results are relative to: the project.

It is the config's own folder. A config of the emgrid repository, such as a ready grid, belongs to
the folder in which the command is called.
"""

import os
from pathlib import Path

from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.snakefile import read_grid
from emgrid.runtime.files import CALLED_IN, STARTED_IN, users_path


def home_of(configfile: Path) -> Path:
    """The project of a config."""
    folder = configfile.expanduser().resolve().parent
    return Path.cwd() if folder.is_relative_to(ROOT) else folder


def enter_project(configfile: Path) -> Path:
    """Let paths of users be relative to a config's project from now on, in this process and those
    that it starts. Return the project."""
    home, here = home_of(configfile), Path.cwd()
    for variable, folder in ((STARTED_IN, home), (CALLED_IN, here)):
        if home == here:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = str(folder)
    return home


def open_grid(configfile: Path) -> Grid:
    """The grid of a config, whose project is entered."""
    enter_project(configfile)
    return read_grid(configfile)


def root_of(grid: Grid) -> Path:
    """The folder of a grid's results, as seen from here."""
    return users_path(grid.root)
