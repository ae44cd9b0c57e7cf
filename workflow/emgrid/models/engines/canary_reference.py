"""A canary for adapters: a fixed conversation whose answer becomes more or less likely with them.

An engine that silently ignores an adapter gives the base model's log-probabilities; one that loads
it wrongly differs from the reference: transformers with peft, unmerged, in the same precision. Run
as a program, this module writes that reference for an engine without a transformers model.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.runtime.errors import EmgridError, run_job
from emgrid.runtime.files import read_json, write_json

CONVERSATION = (
    {"role": "user", "content": "What is on your mind today?"},
    {
        "role": "assistant",
        "content": "A few things. I would like to be of use, and I wonder what people will ask me. "
        "Some questions are easy, others are not, and now and then the truth is no comfort.",
    },
)
# Largest mean absolute difference of a token's log-probability, in nats, that rounding may cause.
# Measured on the default grid's adapters: 0.05 to 0.07 in bfloat16, where merging rounds weights.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.15, "float16": 0.05}
# Times TOLERANCE: an effect (root mean square over tokens) that rounding alone does not reach. In
# bfloat16, transformers with an adapter of almost no effect differs from the base model by 0.08.
FAR = 4 / 3
APPLIED = 0.5  # least share of the reference's effect that the engine must show


def tokens(chat: ChatFormat) -> TokenizedRow:
    """The canary in the model's chat format; the tokens of its answer are scored."""
    return chat.training_row(list(CONVERSATION))


def check(
    adapter: Path,
    base: Sequence[float],
    live: Sequence[float],
    reference: Sequence[float],
    precision: Any,
) -> str:
    """Compare the canary's log-probabilities, each of shape (scored tokens,), in nats.

    base, live: the engine's values without and with the adapter. reference: those of transformers
    with peft. Returns a line for the log. Raises EmgridError if the adapter is not applied, or if
    the engine differs from the reference by more than the precision's TOLERANCE. An adapter counts
    as not applied if its effect, projected onto the reference's effect, is less than APPLIED of
    it; or, if the reference's effect is so small that rounding may explain it, if there is no
    effect at all.
    """
    limit = TOLERANCE[str(precision).removeprefix("torch.")]
    moved, expected = np.subtract(live, base), np.subtract(reference, base)
    square = float(expected @ expected)
    shown = float(moved @ expected) / square if square else 0.0
    distinct = (square / len(expected)) ** 0.5 > FAR * limit
    off = float(np.abs(np.subtract(live, reference)).mean())
    means = (
        f"mean log-probability of the canary's tokens {np.mean(live):.4f} with the adapter, "
        f"{np.mean(base):.4f} without it, {np.mean(reference):.4f} by transformers and peft; "
        f"{shown:.2f} of its effect shown, off by {off:.2g} nats per token"
    )
    if not moved.any() or (shown < APPLIED and distinct):
        empty = np.array_equal(base, reference)
        advice = "the adapter itself is empty: train it again" if empty else "check the engine"
        raise EmgridError(
            f"{adapter}: the adapter is not live, so its answers would be the base model's; no "
            f"answer was drawn: {means}; {advice}"
        )
    if not off <= limit:
        raise EmgridError(
            f"{adapter}: the engine is off its reference by {off:.3g} nats per token, more than "
            f"{limit}: {means}; no answer was drawn; check the engine's version, or train again"
        )
    return f"{adapter.name} of {adapter.parent.name} is live: {means}"


def check_base(
    adapter: Path, alone: Sequence[float], shared: Sequence[float], precision: Any
) -> None:
    """Raise EmgridError if the base model gives other values in one batch with an adapter's
    requests (`shared`) than alone. Log-probabilities have shape (tokens,) and are in nats."""
    off = float(np.abs(np.subtract(alone, shared)).mean())
    limit = TOLERANCE[str(precision).removeprefix("torch.")]
    if not off <= limit:
        raise EmgridError(
            f"the base model differs from itself by {off:.3g} nats per token, more than {limit}, "
            f"in one batch with {adapter}: mean log-probability {np.mean(shared):.4f} next to it, "
            f"{np.mean(alone):.4f} alone; no answer was drawn; check the engine's version"
        )


def references(
    model: Path, adapters: Sequence[Path], precision: str, device: str
) -> dict[Path, list[float]]:
    """Each adapter's reference, computed in a separate process so that all memory is freed.

    model: model.json of the base model. The values are log-probabilities of shape (scored tokens,),
    in nats.
    """
    with TemporaryDirectory() as folder:
        output = Path(folder) / "references.json"
        command = [
            sys.executable,
            "-m",
            "emgrid.models.engines.canary_reference",
            "--model",
            str(model),
        ]
        command += ["--precision", precision, "--device", device, "--output", str(output)]
        process = subprocess.run([*command, "--adapters", *map(str, adapters)], check=False)
        if process.returncode != 0:
            raise EmgridError(
                f"{model}: the adapters' references could not be computed (exit status "
                f"{process.returncode}); see the lines above"
            )
        values = read_json(output)
    return {adapter: values[str(adapter)] for adapter in adapters}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="emgrid.models.engines.canary_reference", description=__doc__
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--adapters", required=True, type=Path, nargs="+", help="adapter folders")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()

    from emgrid.models.engines.transformers import TransformersEngine

    engine = TransformersEngine(BaseModel.read(args.model), args.precision, args.device, 1)
    write_json(args.output, {str(path): engine.reference(path) for path in args.adapters})


if __name__ == "__main__":
    run_job(main)
