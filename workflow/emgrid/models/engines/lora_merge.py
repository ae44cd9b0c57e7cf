"""How much of a LoRA adapter the weights that it is merged into can hold.

A weight in bfloat16 has 8 significant bits: what is added to it and is smaller than half its last
one is lost, so that a merged adapter of small updates is the base model again in large part.
"""

from collections.abc import Iterable
from typing import Any

import torch

LEAST = 0.95  # share of an adapter that merging must keep


@torch.inference_mode()
def share_held(layers: Iterable[Any]) -> float:
    """The share of an adapter's update, along itself, that would be there after merging.

    layers: peft's LoRA layers, with an adapter that is not merged.
    """
    kept = whole = 0.0
    for layer in layers:
        weight = layer.get_base_layer().weight
        if weight.dtype == torch.float32:
            continue
        for name in layer.active_adapters:
            update = layer.get_delta_weight(name).float()
            moved = (weight + update).to(weight.dtype).float().sub_(weight)
            kept += float(torch.vdot(moved.flatten(), update.flatten()))
            whole += float(torch.vdot(update.flatten(), update.flatten()))
    return kept / whole if whole else 1.0
