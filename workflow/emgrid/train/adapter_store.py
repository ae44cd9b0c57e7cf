"""Kept adapters: a training that was once done is never done again.

`rows/adapters/<identity>/` holds the files of a finished training, hard-linked, so that they take
no space of their own. A stage whose outputs Snakemake has deleted, or that is trained on rows which
were edited and then edited back, finds them there.
"""

import os
import shutil
from pathlib import Path

from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, write_json

WEIGHTS = f"{layout.ADAPTER}/{layout.WEIGHTS}"
CONFIG = f"{layout.ADAPTER}/{layout.ADAPTER_CONFIG}"
FILES = (layout.LOSS, layout.PROVENANCE, CONFIG, WEIGHTS)


def take(kept: Path, stage: Path) -> bool:
    """Give a stage the files of the same training, if they are kept; say whether they are."""
    if not kept.is_dir():
        return False
    for name in FILES:
        link(kept / name, stage / name)
    record(stage)
    return True


def keep(kept: Path, stage: Path) -> None:
    """Keep a stage's files; the folder appears whole."""
    draft = kept.with_name(f".{kept.name}.{os.getpid()}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    for name in FILES:
        link(stage / name, draft / name)
    shutil.rmtree(kept, ignore_errors=True)
    draft.rename(kept)


def record(stage: Path) -> None:
    """Write the file that stands for the adapter in what is sampled of it."""
    write_json(stage / layout.ADAPTER_RECORD, {"sha256": file_digest(stage / WEIGHTS)})


def link(source: Path, target: Path) -> None:
    """One file under two names; a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, draft)
    draft.replace(target)
