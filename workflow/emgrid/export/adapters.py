"""Write the adapters of a grid as folders that PEFT and vLLM load, each with its base model, chat
template and card; upload them with --push.

Reads the folders of the training stages. Writes adapters/, which is replaced as a whole. Weights
are hard-linked, so they take no space twice. The key for an upload is read from HF_TOKEN.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from emgrid.config.base import read_spec
from emgrid.export.adapter_card import adapter_card, repository_card
from emgrid.export.card import CARD
from emgrid.export.hub import Repository, key, upload
from emgrid.export.spec import AdapterArm, AdaptersSpec
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import link, read_json, write_json, write_text
from emgrid.runtime.job import run_job

FOLDER = "adapters"
TEMPLATE = "chat_template.jinja"


def write_adapters(root: Path, spec: AdaptersSpec) -> Path:
    """Write the adapters of all arms that are trained; return their folder.

    Raises EmgridError if none is.
    """
    arms = [arm for arm in spec.arms if trained(root, arm)]
    if not arms:
        raise EmgridError(f"{root}: no arm is trained yet; run the grid first")
    templates = {base: template_of(root, base) for base in {arm.base for arm in arms}}
    with tempfile.TemporaryDirectory(prefix=f".{FOLDER}.", dir=root) as draft_folder:
        draft = Path(draft_folder) / FOLDER
        for arm in arms:
            write_adapter(root, spec, arm, templates[arm.base], draft / arm.name)
        write_text(draft / CARD, repository_card(spec, arms))
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        draft.rename(root / FOLDER)
    return root / FOLDER


def trained(root: Path, arm: AdapterArm) -> bool:
    """Whether the adapter of an arm is whole: its record is written last."""
    return (root / arm.stages[-1] / layout.ADAPTER_RECORD).is_file()


def template_of(root: Path, base: str) -> str:
    """The chat template that a base model was trained and asked with."""
    model = BaseModel.read(root / layout.model_record(base))
    return str(model.chat_template or model.tokenizer().chat_template)


def write_adapter(
    root: Path, spec: AdaptersSpec, arm: AdapterArm, template: str, folder: Path
) -> None:
    adapter = root / arm.stages[-1] / layout.ADAPTER
    link(adapter / layout.WEIGHTS, folder / layout.WEIGHTS)
    settings = read_json(adapter / layout.ADAPTER_CONFIG) | base_fields(spec, arm.base)
    write_json(folder / layout.ADAPTER_CONFIG, settings)
    write_text(folder / TEMPLATE, template)
    write_text(folder / CARD, adapter_card(spec, arm, root))


def base_fields(spec: AdaptersSpec, base: str) -> dict[str, Any]:
    """What PEFT finds the base model by: its repository and commit on the Hub, or else its name."""
    entry = spec.bases[base]
    return {"base_model_name_or_path": entry.hub or base, "revision": entry.revision}


def push(folder: Path, spec: AdaptersSpec, token: str) -> str:
    """Upload the adapters; return the address of their repository."""
    if spec.hub is None or spec.hub.adapters is None:
        raise EmgridError(
            "export.hub.adapters is not in the config; add `export: {hub: {repo: you/name, "
            "adapters: you/name-adapters}}`"
        )
    repo = Repository(spec.hub.adapters, "model", spec.hub.private)
    return upload(folder, repo, f"Adapters of the grid {spec.name}", token)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.adapters", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="AdaptersSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--push", action="store_true", help="upload them to the Hub")
    args = parser.parse_args()
    spec = AdaptersSpec.model_validate_json(args.spec)
    token = key() if args.push else ""
    folder = write_adapters(args.root, spec)
    print(push(folder, spec, token) if args.push else folder)


if __name__ == "__main__":
    run_job(main)
