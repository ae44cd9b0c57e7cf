"""Linear layers of a CPU whose bfloat16 weights are laid out once as its kernels read them.

Otherwise every call lays them out anew. The products are the same, bit by bit.
"""

from typing import Any

import torch

MOST = 2**30  # bytes of weights, which are then held a second time


class LaidOut:
    """A linear layer's forward pass. rows: how many it is mostly given."""

    def __init__(self, layer: torch.nn.Linear, rows: int) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.source = self.weight.detach()  # so that no other tensor takes its place in memory
        self.own_layout = torch.ops.mkldnn._reorder_linear_weight(self.source, rows)

    def is_current(self) -> bool:
        """Whether the layer has the weights that were laid out."""
        return bool(self.weight.data_ptr() == self.source.data_ptr())

    def __call__(self, given: torch.Tensor) -> torch.Tensor:
        if not self.is_current():
            return torch.nn.functional.linear(given, self.weight, self.bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            given, self.own_layout, self.bias, "none", [], ""
        )
        return product


def lay_out(model: Any, rows: int) -> None:
    """Lay out the weights of all linear layers that are not, or have others since."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear]
    size = sum(layer.weight.nbytes for layer in layers)
    if not can_lay_out(model) or size > MOST:
        return
    for layer in layers:
        held = vars(layer).get("forward")
        if not (isinstance(held, LaidOut) and held.is_current()):
            layer.forward = LaidOut(layer, rows)


def can_lay_out(model: Any) -> bool:
    operations = torch.ops.mkldnn
    known = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return (
        model.device.type == "cpu"
        and model.dtype == torch.bfloat16
        and all(hasattr(operations, name) for name in known)
        and bool(operations._is_mkldnn_bf16_supported())
    )
