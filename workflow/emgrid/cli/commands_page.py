"""Write the page of the command line from its parser.

    python -m emgrid.cli.commands_page > docs/commands.md

Reads no config and no results.
"""

import argparse
import os

from emgrid.cli.main import parser

WIDTH = "100"  # columns of the help texts, also on wider terminals
HEAD = """\
# Commands

`make` sets up `.venv` and runs grids; `.venv/bin/emgrid` looks at them. This page is generated from
the command line's own help. [What an edit runs again](reruns.md) shows the commands at work.

| command | what it does |
|---|---|
| `make run` | run the grid of config.yaml |
| `make run CONFIG=my.yaml` | run another grid |
| `make run PROFILE=slurm CONFIG=my.yaml` | run it on a [cluster](cluster.md) |
| `make test` | lint, types and tests |
| `make bench` | measure the [benchmarks](../benchmarks/README.md) |
"""


def commands(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands by name, in the order of the help."""
    actions = [
        action for action in whole._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return {name: command for action in actions for name, command in action.choices.items()}


def page() -> str:
    """The page as Markdown."""
    os.environ["COLUMNS"] = WIDTH
    whole = parser()
    parts = [HEAD, section("emgrid", whole)]
    parts += [section(f"emgrid {name}", command) for name, command in commands(whole).items()]
    return "\n".join(parts)


def section(title: str, command: argparse.ArgumentParser) -> str:
    """A heading and the help below it."""
    return f"## {title}\n\n```\n{command.format_help().rstrip()}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
