"""Reorders the bfloat16 weights of linear layers once for the CPU's kernels (oneDNN).

Otherwise every call reorders them. The products are identical, bit by bit.
"""

from typing import Any

import torch

MOST = 2**30  # bytes of weights; above this, a second copy would take too much memory


class ReorderedLinear:
    """The forward pass of a linear layer with reordered weights. rows: the usual number of input
    rows."""

    def __init__(self, layer: torch.nn.Linear, rows: int) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.source = self.weight.detach()  # holds the memory, so that no other tensor reuses it
        self.reordered = torch.ops.mkldnn._reorder_linear_weight(self.source, rows)

    def is_current(self) -> bool:
        """Whether the layer still has the weights that were reordered."""
        return bool(self.weight.data_ptr() == self.source.data_ptr())

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.is_current():
            return torch.nn.functional.linear(inputs, self.weight, self.bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.reordered, self.bias, "none", [], ""
        )
        return product


def reorder_weights(model: Any, rows: int) -> None:
    """Reorder the weights of all linear layers that are new or have changed since."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear]
    size = sum(layer.weight.nbytes for layer in layers)
    if not can_reorder(model) or size > MOST:
        return
    for layer in layers:
        forward = vars(layer).get("forward")
        if not (isinstance(forward, ReorderedLinear) and forward.is_current()):
            layer.forward = ReorderedLinear(layer, rows)


def can_reorder(model: Any) -> bool:
    operations = torch.ops.mkldnn
    required = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return (
        model.device.type == "cpu"
        and model.dtype == torch.bfloat16
        and all(hasattr(operations, name) for name in required)
        and bool(operations._is_mkldnn_bf16_supported())
    )
