"""The LoRA that is trained, and its files."""

import shutil
from pathlib import Path
from typing import Any

from emgrid.errors import EmgridError
from emgrid.settings import Training

FILES = ("adapter_config.json", "adapter_model.safetensors")


def with_adapter(model: Any, training: Training, parent: Path | None) -> Any:
    """The model with a trainable LoRA: a fresh one, or the one of the stage before."""
    from peft import LoraConfig, PeftModel, get_peft_model

    if parent is not None:
        return PeftModel.from_pretrained(model, parent, is_trainable=True)
    lora = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        use_rslora=training.rslora,
        lora_dropout=training.dropout,
        target_modules=list(training.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as problem:
        raise EmgridError(f"training.target_modules: {problem}") from None


def write_adapter(model: Any, folder: Path) -> None:
    """Save beside `folder`, then move the files in, the weights last."""
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft, safe_serialization=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (draft / name).replace(folder / name)
    shutil.rmtree(draft)
