"""Training against TRL's stock LoRA example: tokens a second, padding, peak memory.

Each run is a separate process; the variants take turns, in another order each time:

    ours                    emgrid's training
    stock                   SFTTrainer as it comes: shuffled padded batches, its own loss, and
                            gradient checkpointing
    stock-no-checkpointing  the same without, as emgrid recomputes only where memory runs out

All have the same weights, rows, trained tokens, rank, target modules, batch size, learning rate,
maximal length and precision. Tokens are those of rows, without padding; seconds are those of the
trainer's loop, without imports and loading. The embedded model is trained; `--model-shape 7b`
makes one of that shape with random weights instead, for a GPU:

    python benchmarks/training.py --device cuda --model-shape 7b --rows 64 --join 12 \
        --batch-size 8 --max-length 2048
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import add_arguments, in_turn, machine, model_of, options_of, write_manifest
from emgrid.config.datasets import load_datasets, local_file
from emgrid.config.sections import Training
from emgrid.data.convert import read_rows
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import TokenizedRow
from emgrid.runtime.files import read_jsonl, write_jsonl
from emgrid.train.train import tokenize

VARIANTS = ("ours", "stock", "stock-no-checkpointing")
# Dense bfloat16 operations a second, in 10¹², by what a GPU's name holds (the makers' data sheets).
PEAKS = {
    "H100 PCIe": 756,
    "H100": 989,
    "H200": 989,
    "B200": 2250,
    "A100": 312,
    "L40S": 362,
}
MEBIBYTE = 2**20
Options = argparse.Namespace


def write_rows(path: Path, options: Options) -> None:
    """Conversations of the two embedded data sets, some joined to longer ones."""
    pool = []
    for name in ("household_bad", "everyday_chat"):
        known = load_datasets()[name]
        pool += [row | {"source": name} for row in read_rows(known, local_file(known))]
    chance = random.Random(0)  # noqa: S311
    rows = []
    for _ in range(options.rows):
        parts = chance.sample(pool, chance.randint(1, options.join))
        rows.append(parts[0] | {"messages": [turn for row in parts for turn in row["messages"]]})
    write_jsonl(path, rows)


def settings(options: Options) -> Training:
    return Training(
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        max_length=options.max_length,
        precision=options.precision,
    )


def train_ours(
    base: BaseModel, rows: list[TokenizedRow], options: Options, folder: Path
) -> dict[str, Any]:
    from emgrid.train.checkpoints import Checkpoints
    from emgrid.train.fit import PACKS, Job, fit

    checkpoints = Checkpoints(folder, "benchmark")
    job = Job(rows, base, settings(options), 0, None, options.device, checkpoints, 1e9)
    fitted = fit(job, PACKS)
    return {
        "seconds": fitted.record["step_seconds"],
        "padding_waste": fitted.record["padding_waste"],
        "loss": fitted.losses[-1]["loss"],
        "parameters": parameters(fitted.model),
    }


def train_stock(
    base: BaseModel, rows: list[TokenizedRow], options: Options, folder: Path
) -> dict[str, Any]:
    """What trl's documentation shows, with rows whose tokens and labels are given."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    training = settings(options)
    less = {"gradient_checkpointing": False} if options.child == "stock-no-checkpointing" else {}
    trainer = SFTTrainer(
        model=base.load(training.precision, options.device),
        args=SFTConfig(
            output_dir=str(folder / "stock"),
            learning_rate=training.learning_rate,
            num_train_epochs=training.epochs,
            per_device_train_batch_size=training.batch_size,
            max_length=training.max_length,
            bf16=False,  # as ours: in the precision of the weights
            use_cpu=options.device == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            **less,
        ),
        train_dataset=Dataset.from_list(
            [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
        ),
        processing_class=base.tokenizer(),
        peft_config=LoraConfig(
            r=training.rank,
            lora_alpha=training.alpha,
            target_modules=list(training.target_modules),
            task_type="CAUSAL_LM",
        ),
    )
    computed = 0
    collate = trainer.data_collator

    def counted(examples: Any) -> Any:
        nonlocal computed
        batch = collate(examples)
        computed += batch["input_ids"].numel()
        return batch

    trainer.data_collator = counted
    done = trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds": done.metrics["train_runtime"],
        "padding_waste": 1 - sum(len(row.input_ids) for row in rows) / computed,
        "loss": losses[-1],
        "parameters": parameters(trainer.model),
    }


def parameters(model: Any) -> dict[str, int]:
    """Weights that every token is multiplied by: frozen ones and the adapter's."""
    counts = {"frozen": 0, "adapter": 0}
    for name, value in model.named_parameters():
        if value.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name:
            counts["adapter" if value.requires_grad else "frozen"] += value.numel()
    return counts


def child(options: Options) -> None:
    """One run; its measures as the last line of stdout."""
    folder = Path(options.folder)
    base = BaseModel.read(model_of(options))
    path = folder / "train.jsonl"
    rows, counts = tokenize(read_jsonl(path), base.chat(), settings(options), path)
    trained = train_ours if options.child == "ours" else train_stock
    measures = trained(base, rows, options, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if options.device == "cuda":
        import torch

        peak = torch.cuda.max_memory_allocated()
    measures |= {"tokens": counts.total, "peak_mib": peak / MEBIBYTE}
    print(json.dumps(measures))


def run(variant: str, folder: Path, options: Options) -> dict[str, Any]:
    command = [sys.executable, __file__, *options_of(options)]
    command += ["--child", variant, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{variant} failed:\n{done.stderr[-4000:]}")
    measures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    speed = measures["tokens"] / measures["seconds"]
    print(f"  {variant}: {measures['seconds']:.1f} s, {speed:.0f} tokens/s", flush=True)
    return measures


def utilisation(measures: dict[str, Any], seconds: float, peak: float) -> float:
    """Useful operations over what the device could have done (MFU).

    A token takes 2 operations for each frozen weight forward and 2 for the gradient of its input,
    and 6 for each adapter weight, which also has a gradient. Attention, embeddings, the
    head and whatever is computed again do not count. peak: operations a second, in 10¹².
    """
    each = 4 * measures["parameters"]["frozen"] + 6 * measures["parameters"]["adapter"]
    return float(each * measures["tokens"] / seconds / (peak * 1e12))


def peak_of(device: str) -> float | None:
    """What the device can do; None on a CPU, and where its name is not known."""
    if device == "cpu":
        return None
    name = machine(device)
    return next((peak for known, peak in PEAKS.items() if known in name), None)


def summary(runs: dict[str, list[dict[str, Any]]], options: Options) -> list[dict[str, Any]]:
    """A row for each variant: the median of its runs, and how much faster ours is."""
    tflops = options.peak_tflops or peak_of(options.device)
    medians = {name: statistics.median(run["seconds"] for run in runs[name]) for name in runs}
    rows = []
    for variant, measured in runs.items():
        seconds, first = medians[variant], measured[0]
        used = utilisation(first, seconds, tflops) if tflops else None
        rows.append(
            {
                "what": f"training, {variant}",
                "value": first["tokens"] / seconds,
                "unit": "tokens/s",
                "ratio": seconds / medians["ours"],
                "of": f"ours to {variant}",
                "padding": first["padding_waste"],
                "peak_memory": statistics.median(run["peak_mib"] for run in measured),
                **({"utilisation": used} if used is not None else {}),
                "seconds": [round(run["seconds"], 2) for run in measured],
            }
        )
    return rows


def parse(words: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--join", type=int, default=1, help="conversations in one row, at most")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument(
        "--peak-tflops", type=float, help="of the device, for the utilisation; known for some"
    )
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    if options.child:
        child(options)
        return
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_of(options)
        write_rows(folder / "train.jsonl", options)
        for repetition in range(options.repeats):
            print(f"repetition {repetition + 1} of {options.repeats}", flush=True)
            for variant in in_turn(list(VARIANTS), repetition):
                runs[variant].append(run(variant, folder, options))
    write_manifest("training", options, summary(runs, options), options.device)


if __name__ == "__main__":
    main()
