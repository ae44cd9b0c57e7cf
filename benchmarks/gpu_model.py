"""The model and the adapters that check_gpu.py computes with: random weights, made on the device.

Run by itself, as a process that ends and gives the device's memory back. Nothing is downloaded; the
tokenizer is that of the embedded model.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from common import SHAPES, drawn_models, model_of

ADAPTERS = 3
RANK = 16
# Of the entries of B. With it an adapter's update is about a third of what its layer gives, so that
# the canary can tell its effect from rounding in bfloat16.
SPREAD = 0.3
# Bytes of the weights that are written, and as much again to spare.
ROOM = {"toy": 2**28, "7b": 2 * 14 * 10**9}


def adapter(model: Path, number: int) -> Path:
    return model.parent / f"adapter{number}"


def draw_adapter(model: Path, number: int) -> None:
    """Write a LoRA of random weights on all attention layers, without loading the model."""
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    config = LoraConfig(
        r=RANK,
        lora_alpha=RANK,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        base_model_name_or_path=model.parent.name,
        task_type="CAUSAL_LM",
    )
    with torch.device("meta"):
        bare = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model.parent))
        wrapped = get_peft_model(bare, config)
    torch.manual_seed(number)
    tensors = {}
    for name, tensor in get_peft_model_state_dict(wrapped).items():
        spread = SPREAD if "lora_B" in name else (3 * tensor.shape[1]) ** -0.5  # as peft starts A
        tensors[name] = spread * torch.randn(tensor.shape)
    folder = adapter(model, number)
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model-shape", choices=SHAPES, default="toy")
    options = parser.parse_args()
    place = Path(tempfile.gettempdir())
    free, room = shutil.disk_usage(place).free, ROOM[options.model_shape]
    if free < room and not (drawn_models() / options.model_shape / "model.json").exists():
        sys.exit(
            f"{place}: {free / 1e9:.0f} GB are free, and a model of shape {options.model_shape} "
            f"takes up to {room / 1e9:.0f} GB; set TMPDIR to a larger disk"
        )
    model = model_of(options)
    for number in range(ADAPTERS):
        draw_adapter(model, number)


if __name__ == "__main__":
    main()
