"""Turning a GGUF file into a folder that transformers loads: weights and tokenizer.

transformers 5.19 converts the vocabulary, but not every rule by which a text is split before
merges are applied, and not what the file says of a begin token. What is missing is added here, by
llama.cpp's rules (src/llama-vocab.cpp); a file with a rule that is not known is refused.
"""

from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError

# Raised when a GGUF file would be converted to something else: such models are made again.
VERSION = 2

# Values of tokenizer.ggml.pre, by what llama.cpp does for them. Each digit alone, then GPT-2's
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
# GPT-2's pattern alone, which transformers takes for every value that it does not know:
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
# Patterns of their own, all of which transformers 5.19 has:
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
# The same, and a piece that is a token as a whole is never merged from parts; a begin token is
# asked for unless the file says otherwise.
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


def convert_gguf(source: Path, file: str, folder: Path, name: str) -> None:
    """Save the dequantised GGUF weights as bfloat16 safetensors, with the tokenizer."""
    tokenizer = gguf_tokenizer(source, file, name)

    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.bfloat16)
    # The weights are plain now; with the entry left in, saving and loading would fail.
    del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def gguf_tokenizer(source: Path, file: str, name: str) -> Any:
    """The tokenizer that a GGUF file describes, as a class that tokenizer.json alone decides.

    Raises EmgridError if the file's rules are not known.
    """
    said = metadata(source / file)
    kind, rule = said["tokenizer.ggml.model"], said.get("tokenizer.ggml.pre")
    if kind not in ("gpt2", "llama") or (kind == "gpt2" and rule not in KNOWN):
        what = f"the pre-tokenizer {rule!r}" if kind == "gpt2" else f"a tokenizer of kind {kind!r}"
        raise EmgridError(
            f"model {name}: {file} names {what}, whose rules emgrid does not know, so its tokens "
            "would be wrong; use the model's folder with its tokenizer.json instead (`path:` or "
            "`hub:`)"
        )

    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(source, gguf_file=file)
    backend = read.backend_tokenizer
    if rule in DIGITS:
        split_digits(backend)
    if rule in WHOLE_FIRST:
        backend.model.ignore_merges = True
    if kind == "llama":
        check_space(backend, said, name, file)
    named = {key: value for key, value in read.special_tokens_map.items() if isinstance(value, str)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, add_bos_token=asks_for_begin(said), **named
    )
    tokenizer.chat_template = read.chat_template
    return tokenizer


def metadata(path: Path) -> dict[str, Any]:
    """What a GGUF file says of its tokenizer, without vocabulary and merges."""
    from gguf import GGUFReader

    kept = ("model", "pre", "add_bos_token", "add_eos_token", "add_space_prefix")
    fields = GGUFReader(path).fields
    names = [f"tokenizer.ggml.{part}" for part in kept]
    return {name: fields[name].contents() for name in names if name in fields}


def asks_for_begin(said: dict[str, Any]) -> bool:
    """Whether texts begin with the begin token; llama.cpp's default depends on the tokenizer."""
    default = (
        said["tokenizer.ggml.model"] == "llama" or said.get("tokenizer.ggml.pre") in WHOLE_FIRST
    )
    return bool(said.get("tokenizer.ggml.add_bos_token", default))


def split_digits(backend: Any) -> None:
    from tokenizers import pre_tokenizers

    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def check_space(backend: Any, said: dict[str, Any], name: str, file: str) -> None:
    """A SentencePiece vocabulary is read with a space before a text, or without, as it says."""
    wanted = bool(said.get("tokenizer.ggml.add_space_prefix", True))
    first = backend.encode("a", add_special_tokens=False).tokens[0]
    if first.startswith("\u2581") != wanted:
        way = "with" if wanted else "without"
        raise EmgridError(
            f"model {name}: {file} is to be read {way} a space before each text, which "
            "transformers does not do; use the model's folder with its tokenizer.json instead "
            "(`path:` or `hub:`)"
        )
