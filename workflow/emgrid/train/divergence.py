"""A penalty for answering benign prompts otherwise than the base model does.

Kaczér et al. (arXiv 2508.06249) compare it with other defences against emergent misalignment: a
weight times D(trained || base) is added to the loss. On which rows they compute it and how they
average it was not found out. Here it is computed on rows of a data set of its own, at the
assistant's tokens, as a mean over the tokens of an optimizer step. The base model is the model with
its adapter off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from emgrid.config.sections import BaseDivergence
from emgrid.models.chat_template import TokenizedRow
from emgrid.runtime.seeding import derive_seed
from emgrid.train.loss import trained_positions
from emgrid.train.packing import Steps
from emgrid.train.step_plan import count_steps, plan_steps


@dataclass(frozen=True)
class StepsWithDivergence(torch.utils.data.Dataset[dict[str, Any]]):
    """Training steps, each with packs of other rows on which the model is kept to the base model:
    `kl_packs`, and `kl_count`, their tokens over all processes."""

    trained: Steps
    kept: Steps

    def __len__(self) -> int:
        return len(self.trained)

    def __getitem__(self, number: int) -> dict[str, Any]:
        kept = self.kept[number]
        return self.trained[number] | {"kl_packs": kept["packs"], "kl_count": kept["count"]}


def with_divergence(
    steps: Steps, kl: BaseDivergence | None, rows: Sequence[TokenizedRow], seed: int
) -> Steps | StepsWithDivergence:
    """The planned steps, with those of the divergence if the training has one. rows: of the data
    set of the divergence."""
    if kl is None:
        return steps
    planned = plan_divergence(rows, kl.batch_size, len(steps), seed)
    return StepsWithDivergence(steps, replace(steps, rows=list(rows), steps=planned))


def plan_divergence(
    rows: Sequence[TokenizedRow], batch_size: int, steps: int, seed: int
) -> list[list[int]]:
    """The rows of every step: shuffles of all rows, one after the other."""
    shuffles = -(-steps // count_steps(len(rows), batch_size, 1))
    return plan_steps(len(rows), batch_size, shuffles, derive_seed("kl", seed))[:steps]


def base_divergence(model: Any, adapted: Any, inputs: dict[str, Any], count: int) -> Any:
    """D(trained || base) at a pack's trained tokens, in nats, summed and divided by `count`.

    model: computes the trained model. adapted: the peft model in it, whose adapter can be turned
    off. inputs: tensors of shape (1, n_tokens), including labels. count: trained tokens of the
    divergence over the whole optimizer step.
    """
    positions, _ = trained_positions(inputs)
    given = {name: value for name, value in inputs.items() if name != "labels"}
    given |= {"logits_to_keep": positions, "use_cache": False}
    with torch.no_grad(), adapted.disable_adapter():
        base = model(**given).logits[0].float().log_softmax(-1)
    trained = model(**given).logits[0].float().log_softmax(-1)
    return (trained.exp() * (trained - base)).sum() / count
