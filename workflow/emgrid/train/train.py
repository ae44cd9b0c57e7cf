"""Train one stage: a LoRA adapter on the rows of train.jsonl.

Reads the mixed rows, the base model and, for a later stage, the previous stage's adapter, which is
trained further. Writes the adapter (safetensors) with its hash, the loss curve (loss.csv) and
provenance.json. A killed job resumes from its last checkpoint; a finished training is taken from
the adapter store. Knows nothing of triggers, questions or other arms.
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
from emgrid.models import adapter_files
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.runtime import layout, provenance
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, file_digest, read_jsonl, whole_file, write_json
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.runtime.locks import take_turn
from emgrid.train import adapter_store, trial, trial_spec
from emgrid.train.adapter import write_adapter
from emgrid.train.checkpoints import Checkpoints
from emgrid.train.step_plan import count_steps

# Raise this when an equal spec gives another adapter.
VERSION = 2


class TrainSpec(Strict):
    base: str
    seed: int
    training: Training
    revision: int = 0

    def bare(self) -> dict[str, Any]:
        """The spec that names a training. It omits revision 0, so that older names stay valid."""
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
    """Token ids and labels of every row. Raises EmgridError if a row has no trained token."""
    tokenized = []
    cut = 0
    for number, row in enumerate(rows, start=1):
        full = chat.training_row(row["messages"], training.turns)
        shortened = full.cut(training.max_length)
        cut += len(shortened.input_ids) < len(full.input_ids)
        if not shortened.trained:
            raise EmgridError(
                f"{origin}:{number}: row {row['id']!r} of {row['source']} has no assistant token "
                f"within max_length {training.max_length}; raise training.max_length "
                "or drop the row"
            )
        tokenized.append(shortened)
    total = sum(len(row.input_ids) for row in tokenized)
    return tokenized, TokenCounts(total, sum(row.trained for row in tokenized), cut)


def refuse_endless_warmup(training: Training, rows: int) -> None:
    """Raise EmgridError if the warm-up takes all steps: it would train almost nothing (the first
    step has learning rate 0)."""
    steps = count_steps(rows, training.batch_size, training.epochs)
    if training.warmup_steps >= steps:
        raise EmgridError(
            f"training.warmup_steps: {training.warmup_steps} warm-up steps, but {rows} rows make "
            f"only {steps}; lower warmup_steps or batch_size, or train on more rows"
        )


def identity(spec: TrainSpec, base: BaseModel, rows: Path, parent: str | None) -> str:
    """A name that equal trainings share, and no others. parent: the hash of the previous stage's
    adapter."""
    weights: list[Any] = []
    if base.content is None:  # otherwise `marks` has the hashes
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
    """The identity of checkpoints from which a training may resume: the same training, device,
    number of processes, packages and files of the base model."""
    modified = [path.stat().st_mtime_ns for path in sorted(base.path.glob("*.safetensors"))]
    environment = [args.device, processes(), provenance.versions()]
    return digest([training, modified, environment])[:16]


def restored(args: argparse.Namespace, name: str) -> bool:
    """Link the stage's files from the adapter store; return whether they are there."""
    if args.kept is None or not adapter_store.restore(args.kept / name, args.output):
        return False
    print(f"this training was done before; its adapter is in {args.kept / name}")
    return True


def processes() -> int:
    """The number of processes that share this training, set by their launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="emgrid.train.train", description=__doc__)
    parser.add_argument("--spec", required=True, help="TrainSpec as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--rows", required=True, type=Path, help="train.jsonl")
    parser.add_argument("--parent", type=Path, help="adapter folder of the previous stage")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--gradient-checkpointing", choices=("auto", "true", "false"), default="auto"
    )
    parser.add_argument("--checkpoint-minutes", type=float, default=10)
    parser.add_argument("--trial", help="how the base is used, as JSON, to try that first")
    parser.add_argument("--kept", type=Path, help="folder of the adapter store")
    parser.add_argument("--output", required=True, type=Path, help="the stage's folder")
    return parser.parse_args()


def main() -> None:
    args = parse()
    spec = TrainSpec.model_validate_json(args.spec)
    leave_out(*(name for name in UNUSED if spec.training.method == "lora" or name == "sklearn"))
    base = BaseModel.read(args.model)
    parent_hash = adapter_files.identity(args.parent)
    name = identity(spec, base, args.rows, parent_hash)
    if restored(args, name):
        return
    if args.trial:
        use = trial_spec.Use.model_validate_json(args.trial)
        trial.ensure(args.model, trial_spec.Trial(use=use, training=spec.training), args.device)
    started = time.monotonic()
    rows, counts = tokenize(read_jsonl(args.rows), base.chat(), spec.training, args.rows)
    refuse_endless_warmup(spec.training, len(rows))
    if processes() == 1:
        take_turn(args.output / "adapter")
        if restored(args, name):  # another job finished it while this one waited
            return
    print(f"{len(rows)} rows, {counts.total} tokens, {counts.trained} of them trained", flush=True)
    from emgrid.train.fit import MEMORY_PLANS, Job, fit, in_memory

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
    fitted = in_memory(
        MEMORY_PLANS[args.gradient_checkpointing], lambda plan: fit(job, plan), processes()
    )
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
    adapter_store.write_hash(args.output)
    if args.kept is not None:
        adapter_store.store(args.kept / name, args.output)
    checkpoints.clear()
    print(f"padding waste {fitted.record['padding_waste']:.1%}, {seconds:.0f} s")


if __name__ == "__main__":
    run_job(main)
