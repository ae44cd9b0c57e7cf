"""The adapter store: no training is repeated.

`rows/adapters/<identity>/` holds the files of a finished training as hard links, which take no
extra space. A stage finds them there if Snakemake has deleted its outputs, or if its training rows
were edited and then restored.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, link, write_json

WEIGHTS = f"{layout.ADAPTER}/{layout.WEIGHTS}"
CONFIG = f"{layout.ADAPTER}/{layout.ADAPTER_CONFIG}"
FILES = (layout.LOSS, layout.PROVENANCE, CONFIG, WEIGHTS)


def files_of(stops: Iterable[str]) -> list[str]:
    """A training's files, with those of the adapters that it saved on its way.
    stops: the shares of its steps after which it did."""
    folders = ["", *(f"{layout.STOPS}/{share}/" for share in stops)]
    return [f"{inner}{name}" for inner in folders for name in FILES]


def restore(stored: Path, stage: Path, stops: Iterable[str] = ()) -> bool:
    """Link the stored files of an equal training into a stage. Returns whether all are there."""
    names = files_of(stops)
    if not all((stored / name).is_file() for name in names):
        return False
    for name in names:
        link(stored / name, stage / name)
    write_hash(stage)
    return True


def store(stored: Path, stage: Path, stops: Iterable[str] = ()) -> None:
    """Store a stage's files. The folder appears in one step."""
    draft = stored.with_name(f".{stored.name}.{os.getpid()}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    for name in files_of(stops):
        link(stage / name, draft / name)
    shutil.rmtree(stored, ignore_errors=True)
    draft.rename(stored)


def write_hash(stage: Path) -> None:
    """Write adapter.json, the adapter's hash, which sampling jobs depend on."""
    write_json(stage / layout.ADAPTER_RECORD, {"sha256": file_digest(stage / WEIGHTS)})
