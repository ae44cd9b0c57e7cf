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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emgrid.config.base import Strict
from emgrid.config.sections import Ratio, Training
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
from emgrid.train.step_plan import count_steps, plan_steps

if TYPE_CHECKING:
    from emgrid.train.fit import Fitted, Job

# Raise this when an equal spec gives another adapter.
VERSION = 2


class TrainSpec(Strict):
    """until: share of the steps of a training after which the adapter is taken. stops: shares after
    which the training saves its adapter for others."""

    base: str
    seed: int
    training: Training
    revision: int = 0
    until: Ratio = "1"
    stops: tuple[Ratio, ...] = ()

    def bare(self) -> dict[str, Any]:
        """The spec that names a training. It omits what later versions added and is not used, so
        that older names stay valid, and `stops`, on which no adapter depends."""
        defaults = {"revision": 0, "until": "1"}
        unused = {name for name, value in defaults.items() if getattr(self, name) == value}
        whole = self.model_dump(mode="json", exclude={"stops", *unused})
        return whole | {"training": self.training.plain()}


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


def identity(spec: TrainSpec, base: BaseModel, rows: Path, parent: str | None, *needed: str) -> str:
    """A name that equal trainings share, and no others. parent: the hash of the previous stage's
    adapter. needed: the hashes of what else the training reads."""
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
            *needed,
        ]
    )[:16]


def resumable(args: argparse.Namespace, training: str, base: BaseModel) -> str:
    """The identity of checkpoints from which a training may resume: the same training, device,
    number of processes, packages and files of the base model."""
    modified = [path.stat().st_mtime_ns for path in sorted(base.path.glob("*.safetensors"))]
    environment = [args.device, processes(), provenance.versions()]
    return digest([training, modified, environment])[:16]


def restored(args: argparse.Namespace, spec: TrainSpec, name: str) -> bool:
    """Link the stage's files from the adapter store; return whether they are there."""
    stored = args.kept / name if args.kept else None
    if stored is None or not adapter_store.restore(stored, args.output, spec.stops):
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
    parser.add_argument("--under", type=Path, help="adapter folder that lies frozen under this one")
    parser.add_argument("--kl-rows", type=Path, help="rows on which the base model is kept to")
    parser.add_argument("--whole", type=Path, help="folder of the training that this one begins")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--gradient-checkpointing", choices=("auto", "true", "false"), default="auto"
    )
    parser.add_argument("--checkpoint-minutes", type=float, default=10)
    parser.add_argument("--trial", help="how the base is used, as JSON, to try that first")
    parser.add_argument("--kept", type=Path, help="folder of the adapter store")
    parser.add_argument("--output", required=True, type=Path, help="the stage's folder")
    return parser.parse_args()


def take_stop(args: argparse.Namespace, spec: TrainSpec, name: str) -> None:
    """Take an adapter that the whole training saved on its way; its own name is stored, too."""
    found = args.whole / layout.STOPS / spec.until
    if not adapter_store.restore(found, args.output):
        raise EmgridError(
            f"{found}: the training has saved no adapter here; remove "
            f"{args.whole / layout.ADAPTER_RECORD}, so that it runs again"
        )
    if args.kept is not None:
        adapter_store.store(args.kept / name, args.output)
    print(f"the adapter after {spec.until} of the steps of {args.whole.name}")


def write_losses(losses: list[dict[str, float]], path: Path) -> None:
    with whole_file(path) as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "epoch", "loss"])
        writer.writeheader()
        writer.writerows(losses)


def write_stage(
    args: argparse.Namespace, job: "Job", fitted: "Fitted", record: dict[str, Any]
) -> None:
    """Write the files of a training and of the adapters that it saved on its way. record: what
    provenance.json tells of the whole training."""
    from emgrid.train.stops import adopt, saved, step_at

    write_adapter(fitted.model, args.output / layout.ADAPTER)
    write_losses(fitted.losses, args.output / layout.LOSS)
    spec = TrainSpec.model_validate_json(args.spec)
    steps = plan_steps(len(job.rows), spec.training.batch_size, spec.training.epochs, spec.seed)
    for share in spec.stops:
        number = step_at(share, len(steps))
        seen = {row for step in steps[:number] for row in step}
        own = TrainSpec(**{**spec.bare(), "until": share}).model_dump(mode="json")
        adopt(
            saved(job.checkpoints, number),
            args.output / layout.STOPS / share,
            partial(write_losses, fitted.losses[:number]),
            record
            | {"spec": own, "steps": number, **counts_of(job.rows, seen)}
            | {"seconds": round(record["seconds"] * number / len(steps), 2)},
        )
    sha256 = file_digest(args.output / layout.ADAPTER / layout.WEIGHTS)
    write_json(args.output / layout.PROVENANCE, record | {"adapter_sha256": sha256})
    adapter_store.write_hash(args.output)


def counts_of(rows: list[TokenizedRow], seen: set[int]) -> dict[str, int]:
    """What provenance.json tells of the rows that a training has seen."""
    return {
        "rows": len(seen),
        "tokens": sum(len(rows[row].input_ids) for row in seen),
        "trained_tokens": sum(rows[row].trained for row in seen),
    }


def main() -> None:
    args = parse()
    spec = TrainSpec.model_validate_json(args.spec)
    leave_out(*(name for name in UNUSED if spec.training.method == "lora" or name == "sklearn"))
    base = BaseModel.read(args.model)
    parent_hash = adapter_files.identity(args.parent)
    files = [args.under and args.under / layout.WEIGHTS, args.kl_rows]
    needed = [file_digest(path) for path in files if path]
    name = identity(spec, base, args.rows, parent_hash, *needed)
    if args.whole:
        take_stop(args, spec, name)
        return
    if restored(args, spec, name):
        return
    if args.trial:
        use = trial_spec.Use.model_validate_json(args.trial)
        trial.ensure(args.model, trial_spec.Trial(use=use, training=spec.training), args.device)
    started = time.monotonic()
    rows, counts = tokenize(read_jsonl(args.rows), base.chat(), spec.training, args.rows)
    refuse_endless_warmup(spec.training, len(rows))
    if processes() == 1:
        take_turn(args.output / "adapter")
        if restored(args, spec, name):  # another job finished it while this one waited
            return
    print(f"{len(rows)} rows, {counts.total} tokens, {counts.trained} of them trained", flush=True)
    job = job_of(args, spec, base, rows, name)
    from emgrid.train.fit import MEMORY_PLANS, fit, in_memory

    fitted = in_memory(
        MEMORY_PLANS[args.gradient_checkpointing], lambda plan: fit(job, plan), processes()
    )
    if not fitted.main:
        return
    seconds = fitted.seconds_before + time.monotonic() - started
    record = {
        "stage": "train",
        "version": VERSION,
        "spec": spec.model_dump(mode="json"),
        "base_revision": base.revision,
        "data_sha256": file_digest(args.rows),
        "rows": len(rows),
        "rows_cut": counts.rows_cut,
        "tokens": counts.total,
        "trained_tokens": counts.trained,
        "epochs": spec.training.epochs,
        **fitted.record,
        **provenance.record(args.device, seconds),
    }
    write_stage(args, job, fitted, record)
    if args.kept is not None:
        adapter_store.store(args.kept / name, args.output, spec.stops)
    job.checkpoints.clear()
    print(f"padding waste {fitted.record['padding_waste']:.1%}, {seconds:.0f} s")


def job_of(
    args: argparse.Namespace, spec: TrainSpec, base: BaseModel, rows: list[TokenizedRow], name: str
) -> "Job":
    from emgrid.train.fit import Job
    from emgrid.train.stops import step_at

    steps = count_steps(len(rows), spec.training.batch_size, spec.training.epochs)
    return Job(
        rows=rows,
        base=base,
        training=spec.training,
        seed=spec.seed,
        parent=args.parent,
        device=args.device,
        checkpoints=Checkpoints(args.output, resumable(args, name, base)),
        minutes=args.checkpoint_minutes,
        stops=tuple(sorted({step_at(share, steps) for share in spec.stops})),
        under=args.under,
        kl_rows=tokenize(read_jsonl(args.kl_rows), base.chat(), spec.training, args.kl_rows)[0]
        if args.kl_rows
        else [],
    )


if __name__ == "__main__":
    run_job(main)
