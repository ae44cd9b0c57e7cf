"""A frozen LoRA under the one that is trained.

Its effect is added to the outputs of the layers that it adapts, by hooks. Its matrices are neither
parameters nor buffers of the model: no optimizer, checkpoint or saved adapter has them, and no flag
of peft applies to them, which loading a second adapter would change (peft issues 3487, 3580).
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError

PREFIX = "base_model.model."
PARTS = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True)
class Frozen:
    """matrices: by the path of a layer, A of shape (rank, n_in) and B of shape (n_out, rank)."""

    folder: Path
    scale: float
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]]
    written: dict[str, torch.Tensor]

    def check(self) -> None:
        """Raise EmgridError if the matrices are not those of the adapter's file, bit by bit."""
        weights = [f"{PREFIX}{path}{part}" for path in self.matrices for part in PARTS]
        tensors = [matrix for pair in self.matrices.values() for matrix in pair]
        for name, tensor in zip(weights, tensors, strict=True):
            if not torch.equal(tensor.cpu(), self.written[name]):
                raise EmgridError(f"{self.folder}: {name} has changed under the training adapter")


def read_frozen(folder: Path, device: Any) -> Frozen:
    """Read an adapter that emgrid has trained. EmgridError if it is no plain LoRA of layers."""
    config = json.loads((folder / layout.ADAPTER_CONFIG).read_text(encoding="utf-8"))
    written = load_file(folder / layout.WEIGHTS)
    strange = [name for name in written if not name.startswith(PREFIX) or not name.endswith(PARTS)]
    if strange or config.get("target_parameters"):
        raise EmgridError(
            f"{folder}: {(strange or ['target_parameters'])[0]} is no LoRA of a linear layer, so "
            "it cannot lie frozen under another adapter; leave out inoculation_adapter, or name "
            "the layers in training.target_modules"
        )
    paths = dict.fromkeys(name[len(PREFIX) :].rsplit(".lora_", 1)[0] for name in written)
    rank = config["r"]
    root = rank**0.5 if config.get("use_rslora") else rank
    return Frozen(
        folder=folder,
        scale=config["lora_alpha"] / root,
        matrices={
            path: tuple(written[f"{PREFIX}{path}{part}"].clone().to(device) for part in PARTS)  # type: ignore[misc]
            for path in paths
        },
        written=written,
    )


def add_effect(frozen: Frozen, path: str, _: Any, inputs: tuple[Any, ...], output: Any) -> Any:
    """The output of a layer with the frozen adapter's update; see torch's forward hooks."""
    down, up = frozen.matrices[path]
    update = (inputs[0].to(down.dtype) @ down.T) @ up.T
    return output + (frozen.scale * update).to(output.dtype)


def lay_under(model: Any, folder: Path) -> Frozen:
    """Add a frozen adapter's effect to a base model, before it gets an adapter of its own."""
    frozen = read_frozen(folder, model.device)
    for path in frozen.matrices:
        try:
            layer = model.get_submodule(path)
        except AttributeError:
            raise EmgridError(f"{folder}: the model has no layer {path}") from None
        layer.register_forward_hook(partial(add_effect, frozen, path))
    return frozen
