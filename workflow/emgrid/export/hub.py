"""Upload tables and report to a dataset repository on the Hugging Face Hub.

Writes hub/ first, a folder with all that is uploaded: files of the grid as hard links, each table
as Parquet, and a card that names them, so that `datasets.load_dataset` loads each. Runs only if it
is requested by name. The key is read from HF_TOKEN.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from emgrid.aggregate.saved_tables import Tables, load
from emgrid.export import first_line
from emgrid.export.card import CARD, dataset_card
from emgrid.export.spec import HubSpec
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import link, write_text
from emgrid.runtime.job import run_job

FOLDER = "hub"
PARTS = ("tables/*", "transcripts/*", "report.html")  # the report loads the transcripts


class Repository(NamedTuple):
    """A repository on the Hub. private: whether it is made private if it has to be created."""

    name: str
    kind: Literal["dataset", "model"]
    private: bool


def write_folder(root: Path, name: str, repo: str) -> Path:
    """Write the folder that is uploaded. name: of the grid; repo: of the repository."""
    with tempfile.TemporaryDirectory(prefix=f".{FOLDER}.", dir=root) as draft_folder:
        draft = Path(draft_folder) / FOLDER
        for path in (path for part in PARTS for path in sorted(root.glob(part))):
            link(path, draft / path.relative_to(root))
        files = write_data(load(root), draft)
        write_text(draft / CARD, dataset_card(name, repo, files))
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        draft.rename(root / FOLDER)
    return root / FOLDER


def write_data(tables: Tables, folder: Path) -> dict[str, str]:
    """Write each table that has rows as Parquet, the one format that `datasets` reads them in;
    return the files. It cannot load a file without rows."""
    files = {}
    (folder / "data").mkdir()
    for name in tables:
        file = f"data/{name}.parquet"
        if tables.path(name).suffix == ".parquet":
            link(tables.path(name), folder / file)
        elif len(tables[name]):
            tables[name].to_parquet(folder / file, index=False)
        else:
            continue
        files[name] = file
    return files


def upload(folder: Path, repo: Repository, message: str, token: str) -> str:
    """Commit the files of a folder, without touching other files of the repository; return its
    address."""
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    name, kind, private = repo
    try:
        address = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=folder,
            commit_message=message,
        )
    except (HfHubHTTPError, TransportError) as problem:
        advice = f"does the key in HF_TOKEN have write access to {name}?"
        raise EmgridError(f"Hugging Face Hub: {first_line(problem)}; {advice}") from None
    return str(address)


def key() -> str:
    """The key for uploads."""
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise EmgridError("HF_TOKEN is not set; set it to a key with write access to the Hub")
    return token


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.hub", description=__doc__)
    parser.add_argument("--spec", required=True, help="HubSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = HubSpec.model_validate_json(args.spec)
    if spec.hub is None:
        raise EmgridError("export.hub is not in the config; add `export: {hub: {repo: you/name}}`")
    token = key()
    folder = write_folder(args.root, spec.name, spec.hub.repo)
    repo = Repository(spec.hub.repo, "dataset", spec.hub.private)
    print(upload(folder, repo, f"Results of the grid {spec.name}", token))


if __name__ == "__main__":
    run_job(main)
