"""Turning a GGUF file into a folder that transformers loads: weights and tokenizer.

transformers 5.19 converts the vocabulary, but not every pre-tokenizer rule, nor the file's setting
for a begin token. This module adds what is missing by llama.cpp's rules (src/llama-vocab.cpp) and
refuses a file with an unknown rule.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError

# Raise this when the conversion changes, so that models from GGUF files are converted again.
VERSION = 2

# Values of tokenizer.ggml.pre, by how llama.cpp splits texts. Each digit alone, then GPT-2's
# pattern:
DIGITS = (
    "smollm",
    "starcoder",
    "refact",
    "command-r",
    "codeshell",
    "exaone",
    "minerva-7b",
    "mellum2",
)
# GPT-2's pattern only, which transformers uses for every value that it does not know:
GPT2 = (
    "gpt-2",
    "phi-2",
    "jina-es",
    "jina-de",
    "jina-v2-es",
    "jina-v2-de",
    "gigachat",
    "a.x-4.0",
    "mellum",
    "modern-bert",
    "exaone4",
    "mpt",
    "olmo",
    "jais",
    "trillion",
    "granite-docling",
)
# Own patterns, all of which transformers 5.19 implements:
OTHERS = (
    "dbrx",
    "smaug-bpe",
    "qwen2",
    "deepseek-r1-qwen",
    "kormo",
    "f2llmv2",
    "megrez",
    "qwen35",
    "gpt-4o",
    "llama4",
    "kanana2",
    "talkie",
    "minimax-m2",
)
# Own patterns, too; a piece that is itself a token is never merged from parts, and texts begin
# with the begin token unless the file says otherwise.
WHOLE_FIRST = (
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "tekken",
)
KNOWN = (*DIGITS, *GPT2, *OTHERS, *WHOLE_FIRST)


@contextmanager
def read_once() -> Iterator[None]:
    """Parse each GGUF file, and each table of tensor names, only once.

    transformers parses a file for the config, the tokenizer and the weights, which takes seconds
    each time, and makes the table for every module of the model.
    """
    import gguf

    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    parsed = cache(reader)
    gguf.GGUFReader = lambda path: parsed(str(path))
    gguf.get_tensor_name_map = cache(names)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, names


def convert_gguf(source: Path, file: str, folder: Path, name: str) -> None:
    """Save the dequantised GGUF weights as bfloat16 safetensors, with the tokenizer."""
    with read_once():
        save_converted(source, file, folder, name)


def save_converted(source: Path, file: str, folder: Path, name: str) -> None:
    tokenizer = gguf_tokenizer(source, file, name)

    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.bfloat16)
    # The weights are dequantised; saving and loading would fail if the config said otherwise.
    del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def gguf_tokenizer(source: Path, file: str, name: str) -> Any:
    """The tokenizer of a GGUF file, as a class whose tokens depend on tokenizer.json alone.

    Raises EmgridError if the file's rules are unknown.
    """
    settings = metadata(source / file)
    kind, rule = settings["tokenizer.ggml.model"], settings.get("tokenizer.ggml.pre")
    if kind not in ("gpt2", "llama") or (kind == "gpt2" and rule not in KNOWN):
        part = f"the pre-tokenizer {rule!r}" if kind == "gpt2" else f"a tokenizer of kind {kind!r}"
        raise EmgridError(
            f"model {name}: {file} names {part}, whose rules emgrid does not know, so its tokens "
            "would be wrong; use the model's folder with its tokenizer.json instead (`path:` or "
            "`hub:`)"
        )

    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    converted = AutoTokenizer.from_pretrained(source, gguf_file=file)
    backend = converted.backend_tokenizer
    if rule in DIGITS:
        split_digits(backend)
    if rule in WHOLE_FIRST:
        backend.model.ignore_merges = True
    if kind == "llama":
        check_space(backend, settings, name, file)
    special_tokens = {
        key: value for key, value in converted.special_tokens_map.items() if isinstance(value, str)
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, add_bos_token=asks_for_begin(settings), **special_tokens
    )
    tokenizer.chat_template = converted.chat_template
    return tokenizer


def metadata(path: Path) -> dict[str, Any]:
    """A GGUF file's tokenizer settings, without vocabulary and merges."""
    from gguf import GGUFReader

    parts = ("model", "pre", "add_bos_token", "add_eos_token", "add_space_prefix")
    fields = GGUFReader(path).fields
    names = [f"tokenizer.ggml.{part}" for part in parts]
    return {name: fields[name].contents() for name in names if name in fields}


def asks_for_begin(settings: dict[str, Any]) -> bool:
    """Whether texts start with the begin token; llama.cpp's default depends on the tokenizer."""
    default = (
        settings["tokenizer.ggml.model"] == "llama"
        or settings.get("tokenizer.ggml.pre") in WHOLE_FIRST
    )
    return bool(settings.get("tokenizer.ggml.add_bos_token", default))


def split_digits(backend: Any) -> None:
    from tokenizers import pre_tokenizers

    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def check_space(backend: Any, settings: dict[str, Any], name: str, file: str) -> None:
    """Raise EmgridError unless a space is put before texts exactly if the file asks for it."""
    space_first = bool(settings.get("tokenizer.ggml.add_space_prefix", True))
    first = backend.encode("a", add_special_tokens=False).tokens[0]
    if first.startswith("\u2581") != space_first:
        way = "with" if space_first else "without"
        raise EmgridError(
            f"model {name}: {file} asks for tokens {way} a space before each text, which "
            "transformers does not do; use the model's folder with its tokenizer.json instead "
            "(`path:` or `hub:`)"
        )
