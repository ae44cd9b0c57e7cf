"""How much of a LoRA adapter survives merging into weights of lower precision.

A bfloat16 weight has 8 significant bits: an update smaller than half of the last one is lost, so
merging an adapter of small updates gives largely the base model again.
"""

from collections.abc import Iterable
from typing import Any

import torch

LEAST = 0.95  # share of an adapter that merging must keep


@torch.inference_mode()
def share_held(layers: Iterable[Any]) -> float:
    """The share of an adapter's update that merging would keep: the rounded update projected onto
    the exact one, over all layers.

    layers: peft's LoRA layers, with an unmerged adapter.
    """
    along = total = 0.0
    for layer in layers:
        weight = layer.get_base_layer().weight
        if weight.dtype == torch.float32:
            continue
        for name in layer.active_adapters:
            update = layer.get_delta_weight(name).float()
            moved = (weight + update).to(weight.dtype).float().sub_(weight)
            along += float(torch.vdot(moved.flatten(), update.flatten()))
            total += float(torch.vdot(update.flatten(), update.flatten()))
    return along / total if total else 1.0
