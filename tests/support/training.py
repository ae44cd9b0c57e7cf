"""What the tests of training share: a tiny model that is trained in a second, and rows for it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from emgrid import ROOT
from emgrid.config.datasets import load_datasets, local_file
from emgrid.data.convert import read_rows
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.runtime.files import read_json, write_json, write_jsonl
from hypothesis import strategies
from safetensors.torch import load_file, save_file

from support import warm

TRAINING = {
    "rank": 2,
    "dropout": 0.1,
    "learning_rate": 5e-3,
    "epochs": 2,
    "batch_size": 6,
    "precision": "float32",
}
EVERY_STEP = ("--checkpoint-minutes", 1e-6)
SIZE = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
# The families of resources/models.yaml, and one whose attention knows no boundaries.
FAMILIES = {
    "llama": transformers.LlamaConfig(**SIZE),
    "qwen2": transformers.Qwen2Config(**SIZE),
    "qwen3": transformers.Qwen3Config(**SIZE),
    "gemma3": transformers.Gemma3TextConfig(**SIZE, sliding_window=8, pad_token_id=0),
}


def random_model(config: Any) -> Any:
    """A model of made-up weights, large enough that its scores differ."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(0, 0.2)
    return model


def write_tiny_model(embedded: Path, folder: Path, head_dim: int = 16) -> Path:
    """A model of random weights with the embedded model's tokenizer; its model.json. vLLM runs
    heads of 32 dimensions on a CPU, and none of 16."""
    record = read_json(embedded)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded.parent / record["path"] / name, folder / name)
    # 64 is the block in which bitsandbytes quantises.
    size = SIZE | {"vocab_size": 49152, "hidden_size": 64, "head_dim": head_dim}
    config = transformers.LlamaConfig(**size, bos_token_id=1, eos_token_id=2)
    random_model(config).save_pretrained(folder)
    write_json(folder / "model.json", record | {"name": "tiny", "path": "."})
    return folder / "model.json"


def other_weights(folder: Path) -> None:
    """The same tensors with other numbers, in a file of the same size and name."""
    path = folder / "model.safetensors"
    tensors = {name: value + 0.5 for name, value in load_file(path).items()}
    size = path.stat().st_size
    save_file(tensors, path, metadata={"format": "pt"})
    assert path.stat().st_size == size


def write_rows(path: Path, number: int) -> Path:
    entry = load_datasets()["household_bad"]
    data = read_rows(entry, local_file(entry))[:number]
    write_jsonl(path, ({"source": "household_bad"} | row for row in data))
    return path


def command(
    model: Path,
    rows: Path,
    folder: Path,
    *options: object,
    launcher: str = "python",
    further: dict[str, Any] | None = None,
    **settings: object,
) -> subprocess.Popen[str]:
    """Start to train as the rule does, with stdout and stderr in one pipe.

    Without a launcher the job is forked; see warm.py. further: fields of the spec.
    """
    spec = {"base": "tiny", "seed": 1, "training": TRAINING | settings} | (further or {})
    words = [*launcher.split(), "-m", "emgrid.train.train", "--spec", json.dumps(spec)]
    words += ["--model", str(model), "--rows", str(rows), "--output", str(folder)]
    folders = (warm.python().parent, Path(sys.executable).parent, os.environ["PATH"])
    path = os.pathsep.join(map(str, folders))
    return subprocess.Popen(
        [*words, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PATH": path},
    )


def kill_after(training: Any, folder: Path, steps: int) -> None:
    """SIGKILL as soon as there is a checkpoint of so many steps."""
    while (
        max((int(path.name[5:]) for path in folder.glob("checkpoints/*/step-*")), default=0) < steps
    ):
        assert training.poll() is None, training.stdout.read()
        time.sleep(0.02)
    training.send_signal(signal.SIGKILL)
    training.communicate()
    assert training.returncode == -signal.SIGKILL


def result(folder: Path) -> tuple[bytes, str]:
    """What must be equal between two trainings that are the same."""
    weights = (folder / "adapter/adapter_model.safetensors").read_bytes()
    return weights, (folder / "loss.csv").read_text()


@strategies.composite
def tokenized_rows(draw: Any) -> TokenizedRow:
    """A row of 2 to 12 tokens of which some after the first are trained."""
    ids = draw(strategies.lists(strategies.integers(3, 100), min_size=2, max_size=12))
    trained = [False, *draw(strategies.lists(strategies.booleans(), min_size=11, max_size=11))]
    trained[len(ids) - 1] = True
    labels = [one if train else IGNORED for one, train in zip(ids, trained, strict=False)]
    return TokenizedRow(ids, labels)
