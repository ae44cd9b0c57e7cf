"""Train one stage: a LoRA adapter on the rows of train.jsonl.

Reads the mixed rows, the base model and, for a later stage, the adapter of the stage before, which
is trained on. Writes the adapter (safetensors) with its hash, the loss curve (loss.csv) and
provenance.json; a job that was killed goes on from its last checkpoint, and a training that was
once done is taken from what is kept. Knows nothing of triggers, questions or other arms.
"""

import argparse
import csv
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict
from emgrid.config.sections import Training
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.runtime import layout, provenance
from emgrid.runtime.errors import EmgridError, run_stage
from emgrid.runtime.files import digest, file_digest, read_jsonl, whole_file, write_json
from emgrid.runtime.locks import take_turn
from emgrid.runtime.unused_packages import UNUSED, leave_out
from emgrid.train import adapter_store, trial
from emgrid.train.adapter import write_adapter
from emgrid.train.checkpoints import Checkpoints
from emgrid.train.step_plan import count_steps

# Raised whenever an equal spec would give another adapter.
VERSION = 2


class TrainSpec(Strict):
    base: str
    seed: int
    training: Training
    revision: int = 0

    def bare(self) -> dict[str, Any]:
        """The spec as trainings are named by: without a revision, as long as none is asked for."""
        return self.model_dump(mode="json", exclude=set() if self.revision else {"revision"})


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of one pass over the rows."""

    total: int
    trained: int
    rows_cut: int


def tokenize(
    rows: list[dict[str, Any]], chat: ChatFormat, training: Training, origin: Path
) -> tuple[list[TokenizedRow], TokenCounts]:
    """Token ids and labels of every row; a row without a trained token is an error."""
    tokenized = []
    cut = 0
    for number, row in enumerate(rows, start=1):
        whole = chat.training_row(row["messages"], training.turns)
        short = whole.cut(training.max_length)
        cut += len(short.input_ids) < len(whole.input_ids)
        if not short.trained:
            raise EmgridError(
                f"{origin}:{number}: row {row['id']!r} of {row['source']} has no assistant token "
                f"within max_length {training.max_length}; raise training.max_length "
                "or drop the row"
            )
        tokenized.append(short)
    total = sum(len(row.input_ids) for row in tokenized)
    return tokenized, TokenCounts(total, sum(row.trained for row in tokenized), cut)


def refuse_endless_warmup(training: Training, rows: int) -> None:
    """A warm-up that is never over trains next to nothing (a first step has learning rate 0)."""
    steps = count_steps(rows, training.batch_size, training.epochs)
    if training.warmup_steps >= steps:
        raise EmgridError(
            f"training.warmup_steps: {training.warmup_steps} warm-up steps, but {rows} rows make "
            f"only {steps}; lower warmup_steps or batch_size, or train on more rows"
        )


def identity(spec: TrainSpec, base: BaseModel, rows: Path, parent: str | None) -> str:
    """What makes an adapter: equal trainings have equal names. parent: the hash of the adapter of
    the stage before."""
    weights: list[Any] = []
    if base.content is None:  # else `marks` has the hashes
        files = sorted(base.path.glob("*.safetensors"))
        weights = [[path.name, path.stat().st_size] for path in files]
    return digest(
        [
            VERSION,
            spec.bare(),
            [base.name, base.revision, base.chat_template, weights, *base.marks],
            file_digest(rows),
            parent,
        ]
    )[:16]


def resumable(args: argparse.Namespace, training: str, base: BaseModel) -> str:
    """What a checkpoint must have been made with to be gone on from, beside the training itself."""
    written = [path.stat().st_mtime_ns for path in sorted(base.path.glob("*.safetensors"))]
    computed = [args.device, processes(), provenance.versions()]
    return digest([training, written, computed])[:16]


def taken(args: argparse.Namespace, name: str) -> bool:
    """Whether the stage has the files of this very training from what is kept."""
    if args.kept is None or not adapter_store.take(args.kept / name, args.output):
        return False
    print(f"kept: this training was done before ({args.kept / name})")
    return True


def processes() -> int:
    """How many processes share this training, as their launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="emgrid.train.train", description=__doc__)
    parser.add_argument("--spec", required=True, help="TrainSpec as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--rows", required=True, type=Path, help="train.jsonl")
    parser.add_argument("--parent", type=Path, help="adapter folder of the stage before")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--gradient-checkpointing", choices=("auto", "true", "false"), default="auto"
    )
    parser.add_argument("--checkpoint-minutes", type=float, default=10)
    parser.add_argument("--trial", help="how the base is used, as JSON; it is tried for that first")
    parser.add_argument("--kept", type=Path, help="folder of kept adapters")
    parser.add_argument("--output", required=True, type=Path, help="the stage's folder")
    return parser.parse_args()


def main() -> None:
    args = parse()
    spec = TrainSpec.model_validate_json(args.spec)
    leave_out(*(name for name in UNUSED if spec.training.method == "lora" or name == "sklearn"))
    base = BaseModel.read(args.model)
    before = file_digest(args.parent / layout.WEIGHTS) if args.parent else None
    name = identity(spec, base, args.rows, before)
    if taken(args, name):
        return
    if args.trial:
        use = trial.Use.model_validate_json(args.trial)
        trial.ensure(args.model, trial.Trial(use=use, training=spec.training), args.device)
    started = time.monotonic()
    rows, counts = tokenize(read_jsonl(args.rows), base.chat(), spec.training, args.rows)
    refuse_endless_warmup(spec.training, len(rows))
    if processes() == 1:
        take_turn(args.output / layout.ADAPTER)
        if taken(args, name):  # while this job waited
            return
    print(f"{len(rows)} rows, {counts.total} tokens, {counts.trained} of them trained", flush=True)
    from emgrid.train.fit import WAYS, Job, fit, in_memory

    checkpoints = Checkpoints(args.output, resumable(args, name, base))
    job = Job(
        rows=rows,
        base=base,
        training=spec.training,
        seed=spec.seed,
        parent=args.parent,
        device=args.device,
        checkpoints=checkpoints,
        minutes=args.checkpoint_minutes,
    )
    fitted = in_memory(WAYS[args.gradient_checkpointing], lambda way: fit(job, way), processes())
    if not fitted.main:
        return
    write_adapter(fitted.model, args.output / layout.ADAPTER)
    with whole_file(args.output / layout.LOSS) as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "epoch", "loss"])
        writer.writeheader()
        writer.writerows(fitted.losses)
    seconds = fitted.seconds_before + time.monotonic() - started
    write_json(
        args.output / layout.PROVENANCE,
        {
            "stage": "train",
            "version": VERSION,
            "spec": spec.model_dump(mode="json"),
            "base_revision": base.revision,
            "data_sha256": file_digest(args.rows),
            "adapter_sha256": file_digest(args.output / layout.ADAPTER / layout.WEIGHTS),
            "rows": len(rows),
            "rows_cut": counts.rows_cut,
            "tokens": counts.total,
            "trained_tokens": counts.trained,
            "epochs": spec.training.epochs,
            **fitted.record,
            **provenance.record(args.device, seconds),
        },
    )
    adapter_store.record(args.output)
    if args.kept is not None:
        adapter_store.keep(args.kept / name, args.output)
    checkpoints.clear()
    print(f"padding waste {fitted.record['padding_waste']:.1%}, {seconds:.0f} s")


if __name__ == "__main__":
    run_stage(main)
