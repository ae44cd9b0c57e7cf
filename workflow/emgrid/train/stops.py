"""Adapters that a training saves on its way, for arms that stop early.

While a training runs, they are next to its checkpoints, and survive a kill as these do. When it
ends, `<stage>/stops/<share of the steps>/` gets what a training of so many steps leaves: adapter,
loss and provenance.
"""

import shutil
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, link, write_json
from emgrid.train.adapter import FILES, write_adapter
from emgrid.train.checkpoints import Checkpoints, step_of


def step_at(share: str, steps: int) -> int:
    """The optimizer step after which a share of the steps is done: rounded half up, at least 1."""
    return max(1, int((Decimal(share) * steps).to_integral_value(ROUND_HALF_UP)))


def saved(checkpoints: Checkpoints, step: int) -> Path:
    """The folder of the adapter after a step, while the training runs."""
    return checkpoints.own_folder / "stops" / str(step)


def usable_checkpoint(checkpoints: Checkpoints, stops: Sequence[int]) -> Path | None:
    """The last checkpoint, unless it is past a step whose adapter was to be saved and is not there:
    a config may get a new fraction while its training lies killed."""
    last = checkpoints.last()
    if last is None:
        return None
    passed = [step for step in stops if step <= step_of(last)]
    if all((saved(checkpoints, step) / layout.WEIGHTS).is_file() for step in passed):
        return last
    return None


class SaveStops(TrainerCallback):  # type: ignore[misc]
    """Saves the adapter after each of these steps."""

    def __init__(self, checkpoints: Checkpoints, steps: Sequence[int]) -> None:
        self.checkpoints = checkpoints
        self.steps = frozenset(steps)

    def on_step_end(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,  # noqa: ARG002
        model: Any = None,
        **_: Any,
    ) -> None:
        if state.global_step in self.steps and state.is_world_process_zero:
            folder = saved(self.checkpoints, state.global_step)
            folder.parent.mkdir(parents=True, exist_ok=True)
            write_adapter(model, folder)


def adopt(adapter: Path, folder: Path, write_losses: Any, record: Mapping[str, Any]) -> None:
    """Make the folder of a stop from its saved adapter. write_losses: writes a loss.csv."""
    target = folder / layout.ADAPTER
    shutil.rmtree(folder, ignore_errors=True)
    for name in FILES:
        link(adapter / name, target / name)
    write_losses(folder / layout.LOSS)
    sha256 = file_digest(target / layout.WEIGHTS)
    write_json(folder / layout.PROVENANCE, {**record, "adapter_sha256": sha256})
