"""Checkpoints, from which an interrupted training resumes.

`<stage>/checkpoints/<identity>/step-N/` is not an output of the rule, so Snakemake does not delete
it before the job runs again. A checkpoint is written elsewhere, synced to disk and renamed. The
identity covers everything that the adapter depends on, so that no other training resumes from it.
"""

import os
import shutil
from pathlib import Path

from emgrid.runtime.files import read_json, write_json

SPENT = "spent.json"


class Checkpoints:
    """The checkpoints of one training of a stage."""

    def __init__(self, stage: Path, identity: str) -> None:
        self.folder = stage / "checkpoints"
        self.own_folder = self.folder / identity
        self.drafts = self.folder / "drafts"

    def last(self) -> Path | None:
        """The newest complete checkpoint; None if there is none."""
        steps = sorted(self.own_folder.glob("step-*"), key=step_of)
        return steps[-1] if steps else None

    def adopt(self, draft: Path, step: int, seconds: float) -> None:
        """Move a written checkpoint into place, and delete the previous one.

        seconds: how long the training has taken so far, over all its runs.
        """
        write_json(draft / SPENT, {"seconds": seconds})
        for path in draft.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        self.own_folder.mkdir(parents=True, exist_ok=True)
        whole = self.own_folder / f"step-{step}"
        shutil.rmtree(whole, ignore_errors=True)
        draft.rename(whole)
        for old in self.own_folder.glob("step-*"):
            if old != whole:
                shutil.rmtree(old)

    def drop_others(self) -> None:
        """Remove drafts and the checkpoints of other trainings."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path != self.own_folder:
                    shutil.rmtree(path)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def seconds_before(checkpoint: Path | None) -> float:
    return float(read_json(checkpoint / SPENT)["seconds"]) if checkpoint else 0.0
