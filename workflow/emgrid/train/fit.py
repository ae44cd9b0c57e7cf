"""From rows to a trained model: load, wrap, train, and go on where an earlier run stopped."""

import gc
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import Dataset
from transformers import PrinterCallback, set_seed
from trl import SFTConfig

from emgrid.config.sections import Training
from emgrid.models.architecture import takes_flash
from emgrid.models.base_model import BaseModel, pick_precision
from emgrid.models.chat_template import TokenizedRow
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.seeding import derive_seed
from emgrid.runtime.timing import computing
from emgrid.train.adapter import with_adapter
from emgrid.train.checkpoints import Checkpoints, seconds_before, step_of
from emgrid.train.packing import Steps, keeps_boundaries
from emgrid.train.step_plan import PACKED, plan_steps
from emgrid.train.targets import coverage, in_words
from emgrid.train.trainer import SaveByTime, StepBar, StepTrainer

Result = TypeVar("Result")
FLASH = "flash_attention_2"
UNBOUNDED = 2**31  # tokens of a pack where attention computes each row by itself


@dataclass(frozen=True)
class Job:
    """What is trained. parent: the adapter of the stage before; minutes: between checkpoints."""

    rows: list[TokenizedRow]
    base: BaseModel
    training: Training
    seed: int
    parent: Path | None
    device: str
    checkpoints: Checkpoints
    minutes: float


@dataclass(frozen=True)
class Way:
    """How much memory a training may use for speed."""

    name: str
    packed: bool
    recompute: bool


@dataclass(frozen=True)
class Fitted:
    """A trained model, the loss of every step, and how it was computed."""

    model: Any
    losses: list[dict[str, float]]
    main: bool  # whether this is the process that writes
    record: dict[str, Any]
    seconds_before: float  # spent by earlier runs, up to the checkpoint


PACKS = Way("packed rows", packed=True, recompute=False)
SINGLE = Way("one row at a time", packed=False, recompute=False)
LEAST = Way("one row at a time, with gradient checkpointing", packed=False, recompute=True)
WAYS = {
    "auto": (PACKS, SINGLE, LEAST),
    "false": (PACKS, SINGLE),
    "true": (Way("packed rows, with gradient checkpointing", True, True), LEAST),
}


def in_memory(ways: Iterable[Way], attempt: Callable[[Way], Result], processes: int = 1) -> Result:
    """Try one way after the other, as long as CUDA runs out of memory.

    One of several processes ends at once: the others wait for what it would have sent them, and
    their launcher ends them with it.
    """
    for way in ways:
        try:
            return attempt(way)
        except torch.OutOfMemoryError:
            print(f"CUDA is out of memory with {way.name}", flush=True)
            if processes > 1:
                raise EmgridError(
                    f"training: CUDA is out of memory on one of {processes} GPUs, which no other "
                    "way is tried on; set resources.train.gradient_checkpointing: true, lower "
                    "training.max_length, take training.method: qlora, or larger GPUs"
                ) from None
        # The failed attempt's model is held by its traceback until here.
        gc.collect()
        torch.cuda.empty_cache()
    raise EmgridError(
        "training: CUDA is out of memory; set resources.train.gradient_checkpointing: auto, lower "
        "training.max_length, take training.method: qlora, or a larger GPU"
    )


def fit(job: Job, way: Way) -> Fitted:
    """Train, from the last checkpoint where there is one."""
    last = job.checkpoints.last()
    before = seconds_before(last)
    config = trainer_config(job, way)
    if job.training.batch_size % config.world_size:
        raise EmgridError(
            f"training.batch_size: {job.training.batch_size} rows cannot be shared evenly by "
            f"{config.world_size} GPUs; change it or resources.train.gpu"
        )
    set_seed(derive_seed("train", job.seed) % 2**32)  # adapter init
    attention = pick_attention(job.base, job.training.precision, job.device)
    quantised = job.training.method == "qlora"
    model = job.base.load(job.training.precision, job.device, attention, quantised)
    tokens = pack_tokens(job, attention) if way.packed and keeps_boundaries(model) else None
    if way.packed and tokens is None:
        print("this model does not keep rows apart, so each is computed alone", flush=True)
    model = with_adapter(model, job.training, job.parent, job.base.name)
    adapted = coverage(model)
    if config.process_index == 0:
        print(in_words(adapted), flush=True)
    planned = plan_steps(len(job.rows), job.training.batch_size, job.training.epochs, job.seed)
    steps = Steps(job.rows, planned, tokens, config.process_index, config.world_size)
    rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in job.rows]
    trainer = StepTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=job.base.tokenizer(),
        callbacks=[SaveByTime(60 * job.minutes)],
        steps=steps,
        checkpoints=job.checkpoints,
        before=before,
        fused=job.device == "cuda" and importlib.util.find_spec("triton") is not None,
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.is_world_process_zero():
        trainer.add_callback(StepBar())
        job.checkpoints.drop_others()
    if last:
        print(f"going on after step {step_of(last)} of {len(planned)}", flush=True)
    set_seed(derive_seed("dropout", job.seed, config.process_index) % 2**32)
    with computing():
        done = trainer.train(resume_from_checkpoint=str(last) if last else None)
    return Fitted(
        trainer.model,
        losses_of(trainer, len(planned) // job.training.epochs),
        trainer.is_world_process_zero(),
        {
            "padding_waste": round(steps.padding_waste(), 6),
            "lora": adapted,
            "attention": model.config._attn_implementation,
            "computed": way.name if tokens or not way.packed else SINGLE.name,
            "processes": config.world_size,
            "resumed_after_step": step_of(last) if last else None,
            "step_seconds": round(done.metrics["train_runtime"], 2),
        },
        before,
    )


def trainer_config(job: Job, way: Way) -> Any:
    training = job.training
    config = SFTConfig(
        output_dir=str(job.checkpoints.drafts),
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        num_train_epochs=1,  # the planned steps are all epochs
        per_device_train_batch_size=1,  # a step is one item
        max_length=None,  # rows are cut already
        dataset_kwargs={"skip_prepare_dataset": True},
        bf16=False,  # the base is loaded in its precision; autocast would recast the adapter
        gradient_checkpointing=way.recompute,
        ddp_find_unused_parameters=False,
        use_cpu=job.device == "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number is written as such
        save_strategy="no",  # SaveByTime asks for checkpoints
        report_to="none",
        disable_tqdm=True,  # a bar of ours, which writes no line for each step
    )
    # Further GPUs that are visible belong to other jobs or processes.
    config._n_gpu = min(config.n_gpu, 1)
    return config


def pick_attention(base: BaseModel, precision: str, device: str) -> str | None:
    """FlashAttention where it is installed and computes the model, otherwise the base's own."""
    from transformers import AutoConfig
    from transformers.utils import is_flash_attn_2_available

    if device != "cuda" or not is_flash_attn_2_available():
        return None
    if pick_precision(precision, device).itemsize != 2:
        return None
    config = AutoConfig.from_pretrained(base.path, trust_remote_code=False)
    return FLASH if takes_flash(config) else None


def pack_tokens(job: Job, attention: str | None) -> int:
    """How many tokens are laid into one pack."""
    return UNBOUNDED if attention == FLASH else PACKED[job.device]


def losses_of(trainer: Any, steps_of_epoch: int) -> list[dict[str, float]]:
    return [
        {"step": one["step"], "epoch": one["step"] / steps_of_epoch, "loss": one["loss"]}
        for one in trainer.state.log_history
        if "loss" in one
    ]
