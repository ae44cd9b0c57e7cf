"""The loss: scores are computed at trained positions only."""

from typing import Any

import torch

from emgrid.models.chat_template import IGNORED


def trained_token_loss(model: Any, inputs: dict[str, Any], count: int, fused: bool) -> Any:
    """Cross-entropy of a pack's trained tokens, summed and divided by `count`.

    inputs: of shape (1, n_tokens), with labels; count: trained tokens of the whole optimizer
    step. fused: by trl's kernel, which needs Triton and holds no scores at all; otherwise the
    model's own head scores the positions, with whatever it does to scores.
    """
    if fused:
        return -model(**inputs, use_cache=False, fused_lm_head=True).log_probs.sum() / count
    labels = inputs["labels"][0, 1:]
    positions = (labels != IGNORED).nonzero()[:, 0]
    given = {name: value for name, value in inputs.items() if name != "labels"}
    scores = model(**given, logits_to_keep=positions, use_cache=False).logits[0]
    total = torch.nn.functional.cross_entropy(scores.float(), labels[positions], reduction="sum")
    return total / count
