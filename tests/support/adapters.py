"""Adapters that were trained elsewhere, for tests: by plain peft, with no code of emgrid's."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.models import import_adapter
from emgrid.models.base_model import BaseModel
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from support.run import run_module

MODULES = ["q_proj", "v_proj", "down_proj"]


def plain_base(model: Path) -> Any:
    """A base model as transformers loads it. model: its folder."""
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()


def train_elsewhere(model: Path, folder: Path, steps: int = 3, **settings: Any) -> Path:
    """Train a LoRA by plain peft for a few steps on made-up tokens, and save it."""
    torch.manual_seed(0)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": MODULES} | settings
    wrapped = get_peft_model(plain_base(model), LoraConfig(task_type="CAUSAL_LM", **settings))
    weights = [weight for weight in wrapped.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.05)
    tokens = torch.randint(3, 1000, (2, 12))
    for _ in range(steps):
        wrapped(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wrapped.save_pretrained(folder)
    return folder


def as_peft_computes(model: Path, adapter: Path, tokens: list[int]) -> torch.Tensor:
    """The scores after each token by plain peft, shape (tokens, vocabulary)."""
    wrapped = PeftModel.from_pretrained(plain_base(model), adapter).eval()
    with torch.inference_mode():
        scores: torch.Tensor = wrapped(input_ids=torch.tensor([tokens])).logits[0]
    return scores


def take(source: Path, model: Path, output: Path, **spec: Any) -> Path:
    """Import an adapter in this process; return the grid's folder of it. model: model.json."""
    import_adapter.take(spec_of(model, **spec), source, BaseModel.read(model), output)
    return output / "adapter"


def refusal(source: Path, model: Path, output: Path, **spec: Any) -> str:
    """The one line with which an import ends. Nothing is left under a final name."""
    with pytest.raises(EmgridError) as caught:
        take(source, model, output, **spec)
    assert not (output / "adapter.json").exists()
    line = str(caught.value)
    assert "\n" not in line
    return line


def imported(
    source: Path | None, model: Path, output: Path, **spec: Any
) -> subprocess.CompletedProcess[str]:
    """Import an adapter as the rule does."""
    text = spec_of(model, **spec).model_dump_json(exclude_unset=True)
    words: list[object] = ["--spec", text, "--model", model, "--output", output]
    words += ["--source", source] if source else []
    return run_module(import_adapter, *words)


def spec_of(model: Path, **spec: Any) -> import_adapter.AdapterSpec:
    base = str(read_json(model)["name"])
    given = {"name": "mine", "base": base, "names": [base], "engines": ["transformers"]} | spec
    return import_adapter.AdapterSpec.model_validate(given)
