"""trl's trainer for planned steps, with a checkpoint every few minutes."""

import time
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import SFTTrainer

from emgrid.runtime.progress_bar import bar
from emgrid.train.checkpoints import Checkpoints
from emgrid.train.divergence import StepsWithDivergence, base_divergence
from emgrid.train.loss import trained_token_loss
from emgrid.train.packing import Steps

KEPT = "kept_to_base"  # marks a pack on which the model is kept to the base model


class StepTrainer(SFTTrainer):  # type: ignore[misc]
    """An SFTTrainer whose steps are planned in advance and computed pack by pack."""

    def __init__(
        self,
        *,
        steps: Steps | StepsWithDivergence,
        checkpoints: Checkpoints,
        before: float,
        fused: bool,
        kl_weight: float,
        **options: Any,
    ) -> None:
        """kl_weight: factor of the divergence from the base model, 0 if there is none."""
        self.steps = steps
        self.kl_weight = kl_weight
        self.checkpoints = checkpoints
        self.started = time.monotonic() - before
        self.fused = fused
        # trl rounds the adapter of a 4-bit base to bfloat16, which loses small updates; undo that.
        exact = trainable(options["model"])
        exact = {name: value.detach().clone() for name, value in exact.items()}
        super().__init__(**options)
        for name, value in trainable(self.model).items():
            value.data = exact[name].to(value.device)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The planned steps, not prepared by accelerate: the plan already divides the rows among
        the processes."""
        return DataLoader(self.steps, batch_size=1, collate_fn=single)

    def training_step(self, model: Any, inputs: Any, *_: Any) -> Any:
        *early, last = inputs["packs"]
        loss = torch.zeros((), device=self.args.device)
        with self.accelerator.no_sync(model):
            for pack in inputs.get("kl_packs", ()):
                kept = pack | {KEPT: True}
                loss += super().training_step(model, kept, inputs["kl_count"])
            for pack in early:
                loss += super().training_step(model, pack, inputs["count"])
        return loss + super().training_step(model, last, inputs["count"])

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss alone: trl's also computes entropy and accuracy, nearly half a step's time."""
        if inputs.pop(KEPT, False):
            adapted = self.accelerator.unwrap_model(model)
            divergence = base_divergence(model, adapted, inputs, num_items_in_batch)
            loss = self.kl_weight * divergence
        else:
            loss = trained_token_loss(model, inputs, num_items_in_batch, self.fused)
        # The count covers all processes, but their gradients are averaged.
        loss = loss * self.accelerator.num_processes
        return (loss, None) if return_outputs else loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: checkpoints are not published."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            step = self.state.global_step
            draft = Path(self.args.output_dir) / f"checkpoint-{step}"
            self.checkpoints.adopt(draft, step, time.monotonic() - self.started)


class SaveByTime(TrainerCallback):  # type: ignore[misc]
    """Requests a checkpoint after the first step that ends `seconds` after the previous one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        due = torch.tensor(time.monotonic() - self.saved >= self.seconds, device=args.device)
        if broadcast(due.int()).item() and state.global_step < state.max_steps:
            control.should_save = True
            self.saved = time.monotonic()


class StepBar(TrainerCallback):  # type: ignore[misc]
    """A progress bar over steps, with the last step's loss."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.bar = bar(state.max_steps, "step", initial=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        if "loss" in logs:
            self.bar.set_postfix_str(f"loss {float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.bar.close()


def trainable(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def single(items: list[Any]) -> Any:
    return items[0]
