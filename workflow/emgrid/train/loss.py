"""The training loss, with logits computed at trained positions only."""

from typing import Any

import torch

from emgrid.models.chat_template import IGNORED


def trained_token_loss(model: Any, inputs: dict[str, Any], count: int, fused: bool) -> Any:
    """Cross-entropy (nats) of a pack's trained tokens, summed and divided by `count`.

    inputs: tensors of shape (1, n_tokens), including labels. count: trained tokens of the whole
    optimizer step. fused: use trl's kernel, which needs Triton and never stores logits; otherwise
    the model's own head computes them, with its own scaling or soft cap.
    """
    if fused:
        return -model(**inputs, use_cache=False, fused_lm_head=True).log_probs.sum() / count
    positions, targets = trained_positions(inputs)
    model_inputs = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**model_inputs, logits_to_keep=positions, use_cache=False).logits[0]
    total = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
    return total / count


def trained_positions(inputs: dict[str, Any]) -> tuple[Any, Any]:
    """The positions of a pack that predict its trained tokens, and these; of shape (n_trained,)."""
    labels = inputs["labels"][0, 1:]
    positions = (labels != IGNORED).nonzero()[:, 0]
    return positions, labels[positions]
