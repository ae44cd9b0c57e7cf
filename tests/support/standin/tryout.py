"""A trial that every model passes."""

from pathlib import Path
from typing import Any

from emgrid.models.base_model import BaseModel
from emgrid.train.trial_spec import Sampler, Trial


def run(
    base: BaseModel,  # noqa: ARG001
    trial: Trial,
    device: str,  # noqa: ARG001
    folder: Path,  # noqa: ARG001
    **_: Any,
) -> tuple[dict[str, Any], list[Sampler]]:
    return {one.engine: {} for one in trial.use.samplers}, []
