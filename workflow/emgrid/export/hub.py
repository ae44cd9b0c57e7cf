"""Upload tables and report to a dataset repository on the Hugging Face Hub.

Runs only if it is requested by name. The key is read from HF_TOKEN.
"""

import argparse
import os
from pathlib import Path

from emgrid.config.sections import Hub
from emgrid.export import first_line
from emgrid.export.spec import HubSpec
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import run_job

PARTS = ["tables/*", "transcripts/*", "report.html"]  # the report loads the transcripts


def upload(root: Path, name: str, settings: Hub, token: str) -> str:
    """Commit the results of a finished grid, without touching other files of the repository; return
    its address."""
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    try:
        repo = api.create_repo(
            settings.repo, repo_type="dataset", private=settings.private, exist_ok=True
        )
        api.upload_folder(
            repo_id=settings.repo,
            repo_type="dataset",
            folder_path=root,
            allow_patterns=PARTS,
            commit_message=f"Results of the grid {name}",
        )
    except (HfHubHTTPError, TransportError) as problem:
        advice = f"does the key in HF_TOKEN have write access to {settings.repo}?"
        raise EmgridError(f"Hugging Face Hub: {first_line(problem)}; {advice}") from None
    return str(repo)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.hub", description=__doc__)
    parser.add_argument("--spec", required=True, help="HubSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = HubSpec.model_validate_json(args.spec)
    if spec.hub is None:
        raise EmgridError("export.hub is not in the config; add `export: {hub: {repo: you/name}}`")
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise EmgridError("HF_TOKEN is not set; set it to a key with write access to the Hub")
    print(upload(args.root, spec.name, spec.hub, token))


if __name__ == "__main__":
    run_job(main)
