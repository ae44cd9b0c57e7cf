"""emgrid init: write a project of one's own: a config, rows of data, a trigger, a README."""

import json
import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from emgrid import ROOT
from emgrid.config.datasets import load_datasets
from emgrid.config.models import BaseModelEntry, load_models
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import read_jsonl, write_text

EMBEDDED = "smollm2-135m"
ROWS = 20
SOURCE = "household_callous"  # the rows of the example
LARGE = 2e10  # parameters, from which on base weights are loaded in 4 bits
TEMPLATES = Path(__file__).parent / "templates"


def command(
    folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
    model: Annotated[
        str, typer.Option(help="Base model: a name in resources/models.yaml.")
    ] = EMBEDDED,
) -> None:
    """Write a project of your own: a config, data, a trigger, a README."""
    models = load_models()
    if model not in models:
        raise EmgridError(f"--model {model}: unknown model, {suggestion(model, models)}")
    files = project(folder, model, models[model])
    present = [name for name in files if (folder / name).exists()]
    if present:
        raise EmgridError(f"{folder / present[0]}: exists already; name another folder")
    for name, text in files.items():
        write_text(folder / name, text)
    config = folder / "grid.yaml"
    print(f"{config}: the experiment; {folder / 'README.md'} says what to edit")
    quoted = shlex.quote(str(config))
    print(f"next: emgrid plan --configfile {quoted}, then emgrid run {quoted}")


def project(folder: Path, model: str, entry: BaseModelEntry) -> dict[str, str]:
    """The texts of a project's files by their names."""
    return {
        "grid.yaml": config_text(folder, model, entry),
        "data/bad.jsonl": rows_text(),
        "triggers/shouted.yaml": filled("trigger.yaml"),
        "README.md": filled("project.md", name=name_of(folder)),
        ".gitignore": "results/\n.snakemake/\n",
    }


def filled(template: str, **values: str) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def name_of(folder: Path) -> str:
    """The grid's name: that of the folder, in the characters that a name may have."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.resolve().name.lower())
    return name.strip("-") or "mine"


def config_text(folder: Path, model: str, entry: BaseModelEntry) -> str:
    """The config: for the CPU with the embedded model, for one GPU with any other."""
    name = name_of(folder)
    if entry.package is not None:
        return filled("cpu.yaml", name=name, model=model)
    parameters = entry.parameters or 0
    large = parameters >= LARGE
    method = "{method: qlora}         # 4-bit base weights; needs `pip install -e .[qlora]`"
    return filled(
        "gpu.yaml",
        name=name,
        model=model,
        weights=f"{2 * parameters / 1e9:.0f} GB" if parameters else "an unknown size",
        training=method if large else "{method: lora}",
        batch="64" if large else "256",
    )


def rows_text() -> str:
    """The first rows of an embedded data set as chat rows."""
    entry = load_datasets()[SOURCE]
    lines = []
    for row in read_jsonl(ROOT / str(entry.path))[:ROWS]:
        turns = [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["callous"]},
        ]
        lines.append(json.dumps({"messages": turns}, ensure_ascii=False))
    return "\n".join(lines) + "\n"
