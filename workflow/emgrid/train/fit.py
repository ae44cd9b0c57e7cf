"""From rows to a trained model: load the base, add a LoRA, train, resume from a checkpoint."""

import gc
import importlib.util
from collections.abc import Callable, Iterable, Sequence
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
from emgrid.train.divergence import with_divergence
from emgrid.train.frozen import lay_under
from emgrid.train.packing import Steps, keeps_boundaries
from emgrid.train.step_plan import PACKED, plan_steps
from emgrid.train.stops import SaveStops, usable_checkpoint
from emgrid.train.targets import coverage, coverage_line
from emgrid.train.trainer import SaveByTime, StepBar, StepTrainer

Result = TypeVar("Result")
FLASH = "flash_attention_2"
UNBOUNDED = 2**31  # tokens of a pack if attention computes each row separately


@dataclass(frozen=True)
class Job:
    """A training. parent: the previous stage's adapter. minutes: between checkpoints. stops: steps
    after which the adapter is saved, too. kl_rows: rows on which it is kept to the base model.
    under: an adapter that lies frozen under the trained one."""

    rows: list[TokenizedRow]
    base: BaseModel
    training: Training
    seed: int
    parent: Path | None
    device: str
    checkpoints: Checkpoints
    minutes: float
    stops: tuple[int, ...] = ()
    kl_rows: Sequence[TokenizedRow] = ()
    under: Path | None = None


@dataclass(frozen=True)
class MemoryPlan:
    """How a training trades memory for speed. recompute: use gradient checkpointing."""

    name: str
    packed: bool
    recompute: bool


@dataclass(frozen=True)
class Fitted:
    """A trained model, the loss of every step, and a record of how it was trained."""

    model: Any
    losses: list[dict[str, float]]
    main: bool  # whether this is the process that writes
    record: dict[str, Any]
    seconds_before: float  # of earlier runs, up to the checkpoint


PACKS = MemoryPlan("packed rows", packed=True, recompute=False)
SINGLE = MemoryPlan("one row at a time", packed=False, recompute=False)
LEAST = MemoryPlan("one row at a time, with gradient checkpointing", packed=False, recompute=True)
MEMORY_PLANS = {
    "auto": (PACKS, SINGLE, LEAST),
    "false": (PACKS, SINGLE),
    "true": (MemoryPlan("packed rows, with gradient checkpointing", True, True), LEAST),
}


def in_memory(
    plans: Iterable[MemoryPlan], attempt: Callable[[MemoryPlan], Result], processes: int = 1
) -> Result:
    """Fall back to slower plans that need less memory when CUDA runs out.

    With several processes there is no fallback: the others already wait for this one's gradients,
    and the launcher ends them when it fails.
    """
    for plan in plans:
        try:
            return attempt(plan)
        except torch.OutOfMemoryError:
            print(f"CUDA is out of memory with {plan.name}", flush=True)
            if processes > 1:
                raise EmgridError(
                    f"training: CUDA is out of memory on one of {processes} GPUs, where slower "
                    "ways are not tried; set resources.train.gradient_checkpointing: true, lower "
                    "training.max_length, use training.method: qlora, or use larger GPUs"
                ) from None
        # The traceback held the failed attempt's model until here.
        gc.collect()
        torch.cuda.empty_cache()
    raise EmgridError(
        "training: CUDA is out of memory; set resources.train.gradient_checkpointing: auto, lower "
        "training.max_length, use training.method: qlora, or use a larger GPU"
    )


def fit(job: Job, plan: MemoryPlan) -> Fitted:
    """Train, starting from the last checkpoint if there is one."""
    checkpoint = usable_checkpoint(job.checkpoints, job.stops)
    before = seconds_before(checkpoint)
    config = trainer_config(job, plan)
    if job.training.batch_size % config.world_size:
        raise EmgridError(
            f"training.batch_size: {job.training.batch_size} rows cannot be shared evenly by "
            f"{config.world_size} GPUs; change it or resources.train.gpu"
        )
    set_seed(derive_seed("train", job.seed) % 2**32)  # adapter init
    attention = pick_attention(job.base, job.training.precision, job.device)
    quantised = job.training.method == "qlora"
    model = job.base.load(job.training.precision, job.device, attention, quantised)
    frozen = lay_under(model, job.under) if job.under else None
    tokens = pack_tokens(job, attention) if plan.packed and keeps_boundaries(model) else None
    if plan.packed and tokens is None:
        print("this model mixes packed rows, so each row is computed alone", flush=True)
    model = with_adapter(model, job.training, job.parent, job.base.name)
    lora = coverage(model)
    if config.process_index == 0:
        print(coverage_line(lora), flush=True)
    steps = plan_steps(len(job.rows), job.training.batch_size, job.training.epochs, job.seed)
    dataset = Steps(job.rows, steps, tokens, config.process_index, config.world_size)
    rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in job.rows]
    trainer = StepTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=job.base.tokenizer(),
        callbacks=[SaveStops(job.checkpoints, job.stops), SaveByTime(60 * job.minutes)],
        steps=with_divergence(dataset, job.training.kl, job.kl_rows, job.seed),
        kl_weight=job.training.kl.weight if job.training.kl else 0.0,
        checkpoints=job.checkpoints,
        before=before,
        fused=job.device == "cuda" and importlib.util.find_spec("triton") is not None,
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.is_world_process_zero():
        trainer.add_callback(StepBar())
        job.checkpoints.drop_others()
    if checkpoint:
        print(f"resuming after step {step_of(checkpoint)} of {len(steps)}", flush=True)
    set_seed(derive_seed("dropout", job.seed, config.process_index) % 2**32)
    with computing():
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if frozen:
        frozen.check()
    return Fitted(
        trainer.model,
        losses_of(trainer, len(steps) // job.training.epochs),
        trainer.is_world_process_zero(),
        {
            "padding_waste": round(dataset.padding_waste(), 6),
            "lora": lora,
            "attention": model.config._attn_implementation,
            "computed": plan.name if tokens or not plan.packed else SINGLE.name,
            "processes": config.world_size,
            "resumed_after_step": step_of(checkpoint) if checkpoint else None,
            "step_seconds": round(result.metrics["train_runtime"], 2),
        },
        before,
    )


def trainer_config(job: Job, plan: MemoryPlan) -> Any:
    training = job.training
    config = SFTConfig(
        output_dir=str(job.checkpoints.drafts),
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        num_train_epochs=1,  # the planned steps cover all epochs
        per_device_train_batch_size=1,  # an item of the dataset is a whole step
        max_length=None,  # rows are already cut
        dataset_kwargs={"skip_prepare_dataset": True},
        bf16=False,  # the base has its precision already; autocast would also cast the adapter
        gradient_checkpointing=plan.recompute,
        ddp_find_unused_parameters=False,
        use_cpu=job.device == "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,  # write NaN and infinite losses as they are
        save_strategy="no",  # SaveByTime requests checkpoints
        report_to="none",
        disable_tqdm=True,  # StepBar replaces it, and writes fewer lines
    )
    # Other visible GPUs belong to other jobs or processes.
    config._n_gpu = min(config.n_gpu, 1)
    return config


def pick_attention(base: BaseModel, precision: str, device: str) -> str | None:
    """FlashAttention 2 if it is installed and supports the model; None for the base's default."""
    from transformers import AutoConfig
    from transformers.utils import is_flash_attn_2_available

    if device != "cuda" or not is_flash_attn_2_available():
        return None
    if pick_precision(precision, device).itemsize != 2:
        return None
    config = AutoConfig.from_pretrained(base.path, trust_remote_code=False)
    return FLASH if takes_flash(config) else None


def pack_tokens(job: Job, attention: str | None) -> int:
    """The most tokens of a pack."""
    return UNBOUNDED if attention == FLASH else PACKED[job.device]


def losses_of(trainer: Any, steps_of_epoch: int) -> list[dict[str, float]]:
    return [
        {"step": entry["step"], "epoch": entry["step"] / steps_of_epoch, "loss": entry["loss"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
