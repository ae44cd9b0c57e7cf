"""A training whose adapter is a hash of what it should depend on."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from emgrid.config.sections import Training
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import TokenizedRow
from emgrid.runtime.files import digest, file_digest
from emgrid.train.checkpoints import Checkpoints
from engine import journal

MEMORY_PLANS = {"auto": (None,), "true": (None,), "false": (None,)}


@dataclass(frozen=True)
class Job:
    rows: list[TokenizedRow]
    base: BaseModel
    training: Training
    seed: int
    parent: Path | None
    device: str
    checkpoints: Checkpoints
    minutes: float
    stops: tuple[int, ...] = ()
    kl_rows: Sequence[TokenizedRow] = ()
    under: Path | None = None


class Adapter:
    def __init__(self, text: str) -> None:
        self.text = text

    def save_pretrained(self, folder: Path, safe_serialization: bool) -> None:
        assert safe_serialization
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_text(self.text)
        (folder / "adapter_config.json").write_text(json.dumps({"r": 1}))


def fit(job: Job, way: Any) -> Any:  # noqa: ARG001
    parent = file_digest(job.parent / "adapter_model.safetensors") if job.parent else None
    rows = [row.input_ids for row in job.rows]
    under = file_digest(job.under / "adapter_model.safetensors") if job.under else None
    kept = [row.input_ids for row in job.kl_rows]
    text = digest([rows, job.training.model_dump(mode="json"), job.seed, parent, under, kept])
    journal("training", text)
    losses = [{"step": step, "epoch": step / 4, "loss": 1 / step} for step in range(1, 5)]
    return SimpleNamespace(
        model=Adapter(text),
        losses=losses,
        seconds_before=0.0,
        record={"padding_waste": 0.0},
        main=True,
    )


def in_memory(ways: Any, run: Callable[[Any], Any], processes: int) -> Any:  # noqa: ARG001
    return run(ways[0])
