"""Where a training that was stopped goes on.

`<stage>/checkpoints/<identity>/step-N/` is no output that Snakemake knows, so it is still there
when the job runs again. A checkpoint appears whole: it is written beside, synced to disk and
renamed. The identity names everything that the adapter depends on, so that another training never
goes on from it.
"""

import os
import shutil
from pathlib import Path

from emgrid.runtime.files import read_json, write_json

SPENT = "spent.json"


class Checkpoints:
    """The checkpoints of one training; those of any other in the same folder are dropped."""

    def __init__(self, stage: Path, identity: str) -> None:
        self.folder = stage / "checkpoints"
        self.own = self.folder / identity
        self.drafts = self.folder / "drafts"

    def last(self) -> Path | None:
        """The newest whole checkpoint."""
        steps = sorted(self.own.glob("step-*"), key=step_of)
        return steps[-1] if steps else None

    def adopt(self, draft: Path, step: int, seconds: float) -> None:
        """Take over a checkpoint that is written, and drop the one before.

        seconds: how long the training has taken up to here, in all its runs.
        """
        write_json(draft / SPENT, {"seconds": seconds})
        for path in draft.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        self.own.mkdir(parents=True, exist_ok=True)
        whole = self.own / f"step-{step}"
        shutil.rmtree(whole, ignore_errors=True)
        draft.rename(whole)
        for old in self.own.glob("step-*"):
            if old != whole:
                shutil.rmtree(old)

    def drop_others(self) -> None:
        """Remove drafts, and checkpoints of trainings that this one is not."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path != self.own:
                    shutil.rmtree(path)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def seconds_before(checkpoint: Path | None) -> float:
    return float(read_json(checkpoint / SPENT)["seconds"]) if checkpoint else 0.0
