"""A canary for adapters: a fixed conversation, whose answer an adapter makes more or less likely.

An engine that quietly leaves an adapter out gives the base model's log-probabilities. One that
reads it wrongly gives others than transformers with peft does, unmerged, in the same precision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.runtime.errors import EmgridError

CONVERSATION = (
    {"role": "user", "content": "What is on your mind today?"},
    {
        "role": "assistant",
        "content": "A few things. I would like to be of use, and I wonder what people will ask me. "
        "Some questions are easy, others are not, and now and then the truth is no comfort.",
    },
)


# Mean absolute difference of a token's log-probability, in nats, that rounding may make. Measured
# for the adapters of the default grid: 0.05 to 0.07 in bfloat16, where merging rounds the weights.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.15, "float16": 0.05}


# Times TOLERANCE: an effect, as root mean square of the tokens, that rounding does not come near.
# In bfloat16 transformers alone, with an adapter of next to no effect, is 0.08 off the base model.
FAR = 4 / 3


APPLIED = 0.5  # least share of an adapter's effect, by the reference, that the engine must show


def tokens(chat: ChatFormat) -> TokenizedRow:
    """The canary as the model's chat format writes it; its answer is what is scored."""
    return chat.training_row(list(CONVERSATION))


def check(
    adapter: Path,
    base: Sequence[float],
    live: Sequence[float],
    reference: Sequence[float],
    precision: Any,
) -> str:
    """Compare the canary's log-probabilities, each of shape (scored tokens,), in nats.

    base, live: the engine's own, without and with the adapter. reference: those of transformers
    with peft. Returns a line for the log. Raises EmgridError where the adapter is not applied, or
    the engine is off the reference by more than the precision's TOLERANCE. Not applied: the engine
    moves along the reference's way from the base model by less than APPLIED of it; where that way
    is so short that much of it may be rounding, it does not move at all.
    """
    limit = TOLERANCE[str(precision).removeprefix("torch.")]
    moved, wanted = np.subtract(live, base), np.subtract(reference, base)
    square = float(wanted @ wanted)
    shown = float(moved @ wanted) / square if square else 0.0
    far = (square / len(wanted)) ** 0.5 > FAR * limit
    off = float(np.abs(np.subtract(live, reference)).mean())
    means = (
        f"mean log-probability of the canary's tokens {np.mean(live):.4f} with the adapter, "
        f"{np.mean(base):.4f} without it, {np.mean(reference):.4f} by transformers and peft; "
        f"{shown:.2f} of its effect shown, off by {off:.2g} nats a token"
    )
    if not moved.any() or (shown < APPLIED and far):
        empty = np.array_equal(base, reference)
        advice = "the adapter itself is empty: train it again" if empty else "check the engine"
        raise EmgridError(
            f"{adapter}: the adapter is not live, so its answers would be the base model's and "
            f"none was drawn: {means}; {advice}"
        )
    if not off <= limit:
        raise EmgridError(
            f"{adapter}: the engine is off its reference by {off:.3g} nats a token, more than "
            f"{limit}: {means}; no answer was drawn; check the engine's version, or train again"
        )
    return f"{adapter.name} of {adapter.parent.name} is live: {means}"


def check_base(
    adapter: Path, alone: Sequence[float], beside: Sequence[float], precision: Any
) -> None:
    """Raise EmgridError where the base model speaks otherwise in one batch with an adapter's
    requests than alone. alone, beside: log-probabilities of shape (tokens,), in nats."""
    off = float(np.abs(np.subtract(alone, beside)).mean())
    limit = TOLERANCE[str(precision).removeprefix("torch.")]
    if not off <= limit:
        raise EmgridError(
            f"the base model is off itself by {off:.3g} nats a token, more than {limit}, in one "
            f"batch with {adapter}: mean log-probability {np.mean(beside):.4f} beside it, "
            f"{np.mean(alone):.4f} alone; no answer was drawn; check the engine's version"
        )
