"""Adapters for tests of the engines."""

from pathlib import Path

import torch
from emgrid.models.base_model import BaseModel
from peft import LoraConfig, get_peft_model

MODULES = ["q_proj", "v_proj", "down_proj"]


def write_adapter(
    base: BaseModel,
    folder: Path,
    seed: int | None,
    rank: int = 4,
    use_dora: bool = False,
    std: float = 0.08,
) -> Path:
    """An adapter with drawn weights, or, without a seed, one that changes nothing (B = 0).

    std: of the entries of B.
    """
    torch.manual_seed(seed or 0)
    config = LoraConfig(
        r=rank, lora_alpha=8, target_modules=MODULES, use_dora=use_dora, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base.load("float32", "cpu"), config)
    if seed is not None:
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=std)
    model.save_pretrained(folder)
    return folder
