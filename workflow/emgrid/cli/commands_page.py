"""Write the page of the command line from its commands.

    python -m emgrid.cli.commands_page > docs/commands.md

Reads no config and no results.
"""

from typing import Any

import typer.main

from emgrid.cli.main import PANELS, app

HEAD = """\
# Commands

`make` sets up `.venv` and runs grids; `.venv/bin/emgrid` writes, runs and looks at them. This page
is generated from the command line's own help. [What an edit runs again](reruns.md) shows the
commands at work. `emgrid --install-completion` completes commands and options in your shell.

| command | what it does |
|---|---|
| `make run` | run the grid of config.yaml |
| `make run CONFIG=my.yaml` | run another grid, as `emgrid run my.yaml` does |
| `make run PROFILE=slurm CONFIG=my.yaml` | run it on a [cluster](cluster.md) |
| `make test` | lint, types and tests |
| `make bench` | measure the [benchmarks](../benchmarks/README.md) |
"""


def commands() -> dict[str, Any]:
    """The commands by name, in the order of the help."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for panel in PANELS:
        named = {
            name: command
            for name, command in commands().items()
            if command.rich_help_panel == panel
        }
        rows = [
            f"| [`emgrid {name}`](#emgrid-{name}) | {first_line(named[name])} |" for name in named
        ]
        parts.append(
            "\n".join([f"**{panel}**", "", "| command | what it does |", "|---|---|", *rows, ""])
        )
    parts += [section(name, command) for name, command in commands().items()]
    return "\n".join(parts)


def first_line(command: Any) -> str:
    return str(command.help).split("\n\n")[0].replace("\n", " ")


def section(name: str, command: Any) -> str:
    """A heading, what a command does, and a table of what it takes."""
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    rows = [f"| {names(each)} | {meaning(each)} |" for each in shown]
    lines = [f"## emgrid {name}", "", str(command.help).strip(), ""]
    lines += ["| takes | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def names(parameter: Any) -> str:
    """How a parameter is written."""
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).strip('[]')}`".replace("|", "\\|")
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return ", ".join(f"`{option}{value}`" for option in parameter.opts).replace("|", "\\|")


def meaning(parameter: Any) -> str:
    """A parameter's help with its default."""
    text = str(parameter.help or "").rstrip(".")
    given = parameter.default
    if given in (None, False, ()) or callable(given):
        return f"{text}."
    return f"{text}; default: `{given}`."


if __name__ == "__main__":
    print(page(), end="")
