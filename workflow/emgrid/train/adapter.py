"""The trained LoRA adapter and its files."""

import shutil
from pathlib import Path
from typing import Any

from emgrid.config.sections import Training
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.train.targets import wrap

FILES = (layout.ADAPTER_CONFIG, layout.WEIGHTS)


def with_adapter(model: Any, training: Training, parent: Path | None, name: str) -> Any:
    """The model with a trainable LoRA: a new one, or that of the previous stage (`parent`).

    name: of the base model. Raises EmgridError if a target module does not exist.
    """
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    if parent is not None:
        continued = PeftModel.from_pretrained(model, parent, is_trainable=True)
        if isinstance(continued.get_output_embeddings(), LoraLayer):
            # trl's fused loss multiplies by the head's own weights.
            raise EmgridError(
                f"{parent}: the adapter has LoRA on the output head, which is not trained further "
                "here; leave its training out, and ask the adapter as it is"
            )
        return continued
    return wrap(model, training, name)


def write_adapter(model: Any, folder: Path) -> None:
    """Save next to `folder`, then move the files into it, the weights last."""
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft, safe_serialization=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (draft / name).replace(folder / name)
    shutil.rmtree(draft)
