"""Upload tables and report to a dataset repository on the Hugging Face Hub.

Only ever run when it is asked for by name. The key comes from HF_TOKEN.
"""

import argparse
import os
from pathlib import Path

from emgrid.config.sections import Hub
from emgrid.export import first_line
from emgrid.export.spec import HubSpec
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError, run_stage

PARTS = [
    f"{layout.TABLES}/*",
    f"{layout.TRANSCRIPTS}/*",
    layout.REPORT,
]  # transcripts are a part of the report


def upload(root: Path, name: str, to: Hub, token: str) -> str:
    """Commit the results of a finished grid, whatever else the repository holds; return its
    address."""
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    try:
        repo = api.create_repo(to.repo, repo_type="dataset", private=to.private, exist_ok=True)
        api.upload_folder(
            repo_id=to.repo,
            repo_type="dataset",
            folder_path=root,
            allow_patterns=PARTS,
            commit_message=f"Results of the grid {name}",
        )
    except (HfHubHTTPError, TransportError) as problem:
        advice = f"does HF_TOKEN hold a key that may write to {to.repo}?"
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
        raise EmgridError("HF_TOKEN is not set; put a key into it that may write to the Hub")
    print(upload(args.root, spec.name, spec.hub, token))


if __name__ == "__main__":
    run_stage(main)
