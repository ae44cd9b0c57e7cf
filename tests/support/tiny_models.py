"""Tiny models for tests of what decides prompts and tokens: folders and GGUF files."""

import importlib.util
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import transformers
from emgrid.models import prepare as prepare_job
from emgrid.runtime.files import read_json, write_json

from support.needs import lacking
from support.run import run_module
from support.training import SIZE, random_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def packaged(module: str, below: str = "") -> Path:
    """The folder of tokenizer files that a package of requirements-tokenizers.txt ships."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        lacking(f"no package {module} (make .venv/.tokenizers)")
    return Path(found.submodule_search_locations[0]) / below


def write_model(folder: Path, tokenizer: Path, vocabulary: int, **config: Any) -> Path:
    """A Llama of random weights whose tokenizer files are copied from a folder."""
    shape = SIZE | {"vocab_size": vocabulary}
    random_model(transformers.LlamaConfig(**shape, **config)).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    value = read_json(path) | changes
    write_json(path, {key: one for key, one in value.items() if one is not None})


def prepare(
    output: Path, name: str = "mine", template: str | None = None, **entry: Any
) -> subprocess.CompletedProcess[str]:
    """Make a model ready as the rule does."""
    spec = {"name": name, "model": entry, "chat_template": template}
    return run_module(prepare_job, "--spec", json.dumps(spec), "--output", output)


@cache
def tokenizer_fields(path: Path) -> dict[str, Any]:
    """What a GGUF file says of its tokenizer; it takes seconds to read."""
    return {
        name.removeprefix("tokenizer.ggml."): field.contents()
        for name, field in gguf.GGUFReader(path).fields.items()
        if name.startswith("tokenizer.ggml.")
    }


def write_gguf(path: Path, like: Path, **changes: Any) -> None:
    """A GGUF file of a one-layer Llama with another file's vocabulary.

    like: the GGUF file that vocabulary and merges are taken from. changes: of tokenizer.ggml.*;
    None leaves a key out.
    """
    said = tokenizer_fields(like) | changes
    writer = gguf.GGUFWriter(path, "llama")
    width, layers, heads = 32, 1, 4
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(said["tokens"]))
    writer.add_tokenizer_model(said["model"])
    writer.add_token_list(said["tokens"])
    writer.add_token_types(said["token_type"])
    writer.add_token_merges(said["merges"])
    writer.add_chat_template(CHATML)
    for name in ("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"):
        writer.add_uint32(f"tokenizer.ggml.{name}", said[name])
    if said["pre"] is not None:
        writer.add_tokenizer_pre(said["pre"])
    if said["add_bos_token"] is not None:
        writer.add_add_bos_token(said["add_bos_token"])
    shapes = {
        "token_embd": (len(said["tokens"]), width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "blk.0.ffn_gate": (2 * width, width),
        "blk.0.ffn_up": (2 * width, width),
        "blk.0.ffn_down": (width, 2 * width),
    } | {f"blk.0.attn_{one}": (width, width) for one in ("q", "k", "v", "output")}
    drawn = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", drawn.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
