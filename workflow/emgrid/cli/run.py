"""emgrid run: run a grid, from any folder, and show what came out."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from emgrid import ROOT
from emgrid.cli.options import DEFAULT_CONFIG
from emgrid.cli.project import enter_project
from emgrid.grid.snakefile import complete, read_config
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import STARTED_IN, users_path

PROFILES = ROOT / "workflow/profiles"
DRY = ("-n", "--dry-run", "--dryrun")


def command(
    config: Annotated[Path, typer.Argument(help="The grid's config.")] = DEFAULT_CONFIG,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTION...]",
            help="After `--`: targets and options of Snakemake, such as `-- --forcerun judge`.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            help="A profile of emgrid (workstation, slurm), or the folder of one of your own.",
        ),
    ] = "workstation",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only show which jobs would run.")
    ] = False,
    cores: Annotated[
        str | None, typer.Option("--cores", "-c", metavar="N", help="Cores to use; or `all`.")
    ] = None,
) -> None:
    """Run a grid: what is missing is trained, sampled, judged and reported.

    Paths in a config are relative to its own folder, and `results/` is written there. A config of
    the emgrid repository belongs to the folder that the command is called in.
    """
    extra = list(options or [])
    settings, _ = complete(read_config(config), [str(config)])
    words = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(config.absolute())]
    words += ["--profile", str(profile_folder(profile))]
    words += ["--cores", cores] if cores else []
    words += ["--dry-run"] if dry_run else []
    snakemake(enter_project(config), [*words, *extra])
    if not (dry_run or set(extra) & set(DRY)):
        summarise(config, str(settings.get("name")))


def profile_folder(name: str) -> Path:
    """The folder of a profile: one of emgrid by its name, or one of the user by its path."""
    for folder in (PROFILES / name, Path(name).expanduser()):
        if (folder / "config.yaml").is_file():
            return folder.absolute()
    known = [path.parent.name for path in PROFILES.glob("*/config.yaml")]
    raise EmgridError(
        f"--profile {name}: no such profile ({suggestion(name, known)}), nor a folder with "
        "a config.yaml of this name"
    )


def snakemake(folder: Path, words: list[str]) -> None:
    """Run Snakemake in a folder, in this process, so that signals reach it as usual. Ends the
    process if Snakemake fails."""
    from snakemake.cli import main

    here = Path.cwd()
    os.chdir(folder)
    # Jobs start in seconds if their libraries are kept compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        main(words)
    except SystemExit as ended:
        if ended.code:
            sys.exit(ended.code)
    finally:
        os.chdir(here)
        os.environ[STARTED_IN] = str(folder)


def summarise(config: Path, name: str) -> None:
    """Print the summary of a grid, unless it has no tables, as after other targets."""
    if not (users_path(layout.grid_folder(name)) / layout.table("rates.csv")).is_file():
        return
    # pandas takes a second to import, which -n and other commands would wait for, too.
    from emgrid.cli.summary import show

    show(config)
