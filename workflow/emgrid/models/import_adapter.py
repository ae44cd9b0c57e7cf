"""Import a LoRA adapter that was trained elsewhere: check it, and copy its files into the grid.

Reads the user's folder or a repository of the Hub, and the base model. Writes a folder like that of
a training stage: adapter/ with adapter_config.json and adapter_model.safetensors, provenance.json,
and adapter.json with the hashes that later jobs depend on. An adapter that would not be computed as
peft computes it is refused. Knows nothing of arms.
"""

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import Any

from emgrid.config.adapters import AdapterFiles
from emgrid.models import adapter_base, adapter_files, adapter_settings, model_files
from emgrid.models.base_model import BaseModel
from emgrid.models.hub_download import download
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import file_digest, whole_file, write_json
from emgrid.runtime.job import run_job

# Raise this when an equal adapter is imported otherwise.
VERSION = 1


class AdapterSpec(AdapterFiles):
    """name: for messages. content: the hashes of the user's files, None of a repository. names:
    those by which the config knows the base model. engines: those that draw answers with it.
    manifest: of the exported rows that it was trained on."""

    name: str
    base: str
    names: tuple[str, ...]
    engines: tuple[str, ...]
    content: dict[str, str] | None = None
    manifest: dict[str, Any] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What the adapter depends on; the rest is only checked."""
        return self.model_dump(
            mode="json", include={"base", "hub", "revision", "subfolder", "sha256", "content"}
        )


def folder_of(spec: AdapterSpec, source: Path | None) -> Path:
    """The folder of the adapter's files. EmgridError: they cannot be had."""
    if spec.hub is None:
        if source is None:
            raise EmgridError(f"{spec.name}: an adapter without a repository needs --source")
        return source
    within = f"{spec.subfolder}/" if spec.subfolder else ""
    patterns = [within + name for name in adapter_files.READ]
    what = f"adapter {spec.name}"
    return download(spec.hub, str(spec.revision), what, patterns) / (spec.subfolder or "")


def refusal(spec: AdapterSpec, folder: Path, base: BaseModel) -> str | None:
    """Why an adapter is not taken; None if it is."""
    problem = adapter_files.unusable(folder, links=spec.hub is not None)
    if problem is None and spec.content is not None:
        change = model_files.changed(spec.content, adapter_files.content(folder))
        problem = f"{change} since the run began; run again" if change else None
    if problem:
        return problem
    config, shapes = adapter_files.read_config(folder), adapter_files.shapes(folder)
    return (
        adapter_settings.refusal(config, shapes, spec.engines)
        or adapter_base.other_base(config, base, spec.names, spec.trained_on)
        or adapter_base.other_vocabulary(folder, base)
        or other_template(spec, folder, base)
        or adapter_base.misfit(folder, base, shapes)
    )


def other_template(spec: AdapterSpec, folder: Path, base: BaseModel) -> str | None:
    """Why an adapter was trained with another chat template; None if it was not, or if the config
    asks it in the base model's all the same."""
    if spec.chat_template == "base":
        return None
    trained = spec.manifest["base"].get("chat_template_sha256") if spec.manifest else None
    text = str(base.chat_template or base.tokenizer().chat_template)
    if trained not in (None, hashlib.sha256(text.encode()).hexdigest()):
        return (
            f"its rows were exported with another chat template than {base.name} has now; give the "
            "base model the exported chat_template.jinja, or say `chat_template: base`"
        )
    return adapter_base.other_template(folder, base)


def copy(folder: Path, output: Path, base: BaseModel, sha256: str | None) -> dict[str, str]:
    """Copy an adapter's files; return its record. A copy, since a link would let an edit of the
    user's file change a finished grid. EmgridError: the weights are not those of `sha256`."""
    adapter = output / layout.ADAPTER
    with whole_file(adapter / layout.WEIGHTS) as draft:
        shutil.copyfile(folder / layout.WEIGHTS, draft)
        weights = file_digest(draft)
        if sha256 not in (None, weights):
            raise EmgridError(
                f"{folder / layout.WEIGHTS}: its SHA-256 is {weights}, not {sha256}; correct "
                "`sha256`, or get the right file"
            )
    config = adapter_files.read_config(folder)
    # peft would ask the Hub for another base model when the adapter is saved again.
    own = {"base_model_name_or_path": str(base.path), "revision": None}
    write_json(adapter / layout.ADAPTER_CONFIG, config | own)
    return {"sha256": weights, "settings": adapter_settings.settings_digest(config)}


def take(spec: AdapterSpec, source: Path | None, base: BaseModel, output: Path) -> str:
    """Write the folder of an adapter; return the hash of its weights. EmgridError: it is not
    taken."""
    folder = folder_of(spec, source)
    if problem := refusal(spec, folder, base):
        raise EmgridError(f"adapter {spec.name}: {spec.hub or folder}: {problem}")
    record = copy(folder, output, base, spec.sha256)
    provenance = {
        "stage": "import_adapter",
        "version": VERSION,
        "spec": spec.identity,
        "origin": spec.origin if spec.hub else folder.name,
        "trained_on": adapter_files.read_config(folder).get("base_model_name_or_path"),
        "asked_in": spec.chat_template,
        "adapter_sha256": record["sha256"],
        **({"manifest": spec.manifest} if spec.manifest else {}),
    }
    write_json(output / layout.PROVENANCE, provenance)
    write_json(output / layout.ADAPTER_RECORD, record)
    return record["sha256"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.models.import_adapter", description=__doc__)
    parser.add_argument("--spec", required=True, help="AdapterSpec as JSON")
    parser.add_argument("--source", type=Path, help="the user's adapter folder")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--output", required=True, type=Path, help="the adapter's folder")
    args = parser.parse_args()
    spec = AdapterSpec.model_validate_json(args.spec)
    sha256 = take(spec, args.source, BaseModel.read(args.model), args.output)
    print(f"{spec.name}: imported, sha256 {sha256}")


if __name__ == "__main__":
    run_job(main)
