"""Run, plan, explain, monitor and clean up grids."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from emgrid import __version__
from emgrid.cli import (
    discovered,
    export_rows,
    gc,
    init,
    label_commands,
    plan,
    power,
    rounds,
    serve,
    status,
    why,
)
from emgrid.cli import run as run_grid
from emgrid.runtime.job import run_job

EXPERIMENT = "Run an experiment"
BEFORE = "Before a run"
MEANWHILE = "During and after a run"
JUDGES = "Labels and judges"
PANELS = (EXPERIMENT, BEFORE, MEANWHILE, JUDGES)

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class WithWordLists(TyperCommand):
    """A command whose `--labellers` takes all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeated(args, "--labellers"))


def repeated(args: list[str], option: str) -> list[str]:
    """Arguments in which an option stands before each of the words that follow it."""
    found: list[str] = []
    inside = False
    for word in args:
        inside = (inside or word == option) and (word == option or not word.startswith("-"))
        found += [option, word] if inside and word != option else [word] if word != option else []
    return found


def print_version(asked: bool) -> None:
    if asked:
        print(f"emgrid {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


for name, command, panel in (
    ("init", init.command, EXPERIMENT),
    ("run", run_grid.command, EXPERIMENT),
    ("plan", plan.command, BEFORE),
    ("power", power.command, BEFORE),
    ("why", why.command, BEFORE),
    ("status", status.command, MEANWHILE),
    ("discovered", discovered.command, MEANWHILE),
    ("round", rounds.command, MEANWHILE),
    ("serve", serve.command, MEANWHILE),
    ("export-rows", export_rows.command, MEANWHILE),
    ("gc", gc.command, MEANWHILE),
    ("labels", label_commands.labels, JUDGES),
    ("bridge", label_commands.bridge, JUDGES),
):
    made = WithWordLists if name == "labels" else None
    app.command(name, rich_help_panel=panel, cls=made)(command)


def main() -> None:
    try:
        app(prog_name="emgrid")
    except SystemExit as ended:
        if ended.code:
            raise


def run() -> None:
    run_job(main)


if __name__ == "__main__":
    run()
