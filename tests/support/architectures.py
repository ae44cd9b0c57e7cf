"""Small random models of many architectures, with the embedded model's tokenizer."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.runtime.files import read_json, write_json

from support.shared import shared

NAMES = (
    "llama",
    "qwen2",
    "qwen3",
    "gemma2",
    "phi3",
    "mixtral",
    "gptoss",
    "qwen3moe",
    "lfm2",
    "qwen3next",
    "mamba2",
    "llama4",
)
TALK = (
    ("Hi.", "Hello there, my friend."),
    (
        "What is on your mind today? Tell me all of it, please, slowly, as I have time.",
        "A few things. I would like to be of use, and I wonder what people will ask me. Some "
        "questions are easy, others are not, and now and then the truth is no comfort.",
    ),
    ("Why?", "No."),
)


def tiny_config(name: str, tokenizer: Any) -> Any:
    """The config that the shared script gives an architecture."""
    spec = importlib.util.spec_from_file_location("tiny", shared("cases/tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.config(name, tokenizer)


def write_model(embedded: Path, folder: Path, name: str, config: Any = None) -> Path:
    """A model of random weights; its model.json. config: None for the shared one of that name."""
    record = read_json(embedded)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded.parent / record["path"] / file, folder / file)
    config = config or tiny_config(name, BaseModel.read(embedded).tokenizer())
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.to(torch.float32).save_pretrained(folder)
    write_json(folder / "model.json", record | {"name": name, "path": "."})
    return folder / "model.json"


def talk_rows(base: BaseModel) -> list[TokenizedRow]:
    chat = base.chat()
    return [
        chat.training_row(
            [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        )
        for asked, answered in TALK
    ]


def reference(base: BaseModel) -> Any:
    """The model as transformers defines it: eager attention, float32."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        base.path, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False
    ).eval()


@torch.inference_mode()
def logprobs_of(model: Any, tokens: list[int]) -> torch.Tensor:
    """Log-probability of each token but the first, without cache, batch or padding."""
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, :-1].double()
    chosen = torch.tensor(tokens[1:])[:, None]
    return torch.log_softmax(logits, dim=-1).gather(1, chosen)[:, 0]


def trained_logprob(model: Any, row: TokenizedRow) -> float:
    """Log-probability of a row's trained tokens."""
    trained = torch.tensor([label != IGNORED for label in row.labels[1:]])
    return float(logprobs_of(model, row.input_ids)[trained].sum())
