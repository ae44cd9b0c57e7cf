"""Download a base model from the Hugging Face Hub, and say in one line why that failed.

Finished files stay in the Hub client's cache, so an interrupted download goes on where it stopped.
Knows nothing of what the files are.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import FULL
from emgrid.runtime.progress_bar import SECONDS

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
GIGA = 1e9
SHOWN = 50_000_000  # bytes above which a download is announced


class BytesBar(tqdm):  # type: ignore[type-arg]
    """The one bar for the bytes of all files; the Hub's client also opens some for other counts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        other = options.get("unit") != "B" or options.get("desc") == "Downloading bytes"
        options |= {"mininterval": SECONDS, "desc": "downloading", "bar_format": None}
        super().__init__(*args, **options | {"disable": other})

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        """Keep the description: the client's is of how it stores files."""


class NoBar(tqdm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"disable": True})


def download(repo: str, revision: str, name: str, patterns: Sequence[str] = PATTERNS) -> Path:
    """The folder of a repository's files at a revision. name: what it is, for messages. patterns:
    of the files that are fetched.

    Raises EmgridError if the files cannot be had or do not fit on the disk.
    """
    from huggingface_hub import constants, snapshot_download

    cache = Path(constants.HF_HUB_CACHE)
    files: dict[str, Any] = {"revision": revision, "allow_patterns": list(patterns)}
    try:
        size = missing_bytes(repo, files)
        announce(size, cache, repo, name)
        return Path(snapshot_download(repo, tqdm_class=BytesBar if size else NoBar, **files))
    except Exception as problem:
        if line := reason(problem, repo, revision, cache):
            raise EmgridError(f"{name}: {line}") from None
        raise


def missing_bytes(repo: str, files: dict[str, Any]) -> int:
    """The size of the files that are not in the cache; 0 if they are, and the Hub is silent."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError, LocalEntryNotFoundError

    try:
        found = snapshot_download(repo, dry_run=True, tqdm_class=NoBar, **files)
    except DryRunError as problem:
        try:
            snapshot_download(repo, local_files_only=True, **files)
        except LocalEntryNotFoundError:
            raise (problem.__cause__ or problem) from None
        return 0
    return sum(file.file_size or 0 for file in found if file.will_download)


def announce(size: int, cache: Path, repo: str, name: str) -> None:
    """Say how much will be downloaded. Raises EmgridError if it does not fit on the disk."""
    existing = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise EmgridError(
            f"{name}: {repo} needs {size / GIGA:,.1f} GB, and {existing} has "
            f"{free / GIGA:,.1f} GB free; make room, or set HF_HOME to a folder on a larger disk"
        )
    if size > SHOWN:
        print(f"{name}: downloading {repo}, {size / GIGA:.1f} GB, to {cache}", file=sys.stderr)


def reason(problem: BaseException, repo: str, revision: str, cache: Path) -> str | None:
    """Why a download failed and what to do; None for a problem that is not of this kind."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo}"
    causes = [problem, *filter(None, [problem.__cause__, problem.__context__])]
    if isinstance(problem, errors.GatedRepoError):
        return (
            f"access to {repo} is restricted; ask for it at {page}, then set HF_TOKEN to a token "
            f"of that account ({token_in_use()})"
        )
    if isinstance(problem, errors.RevisionNotFoundError):
        return f"{repo} has no commit {revision}; copy one from {page}/commits/main to `revision`"
    if isinstance(problem, errors.RepositoryNotFoundError):
        return (
            f"there is no {repo} on the Hub, or it is private; correct `hub`, or set HF_TOKEN to "
            f"a token that may read it ({token_in_use()})"
        )
    if isinstance(problem, errors.HFValidationError):
        return f"{repo!r} is no name of a repository; write `hub: owner/name`"
    if any(isinstance(one, OSError) and one.errno in FULL for one in causes):
        return f"{cache}: the disk is full; make room, or set HF_HOME to a folder on a larger disk"
    if any(isinstance(one, errors.OfflineModeIsEnabled) for one in causes):
        missing = f"{repo} is not in {cache}, and HF_HUB_OFFLINE is set"
        return f"{missing}; unset it, or {elsewhere(repo, revision)}"
    if isinstance(problem, HTTPError | errors.LocalEntryNotFoundError):
        cause = next((one for one in causes if isinstance(one, HTTPError)), problem)
        return (
            f"{repo} cannot be downloaded ({first_line(cause)}); run again when the Hub can be "
            f"reached, or {elsewhere(repo, revision)}"
        )
    return None


def elsewhere(repo: str, revision: str) -> str:
    """How to use a model where the Hub cannot be reached."""
    return (
        f"run `hf download {repo} --revision {revision}` where there is a network and name that "
        "folder by `path`"
    )


def token_in_use() -> str:
    """Whether a key for the Hub is set. Its value is not shown."""
    from huggingface_hub import get_token

    return "the one in use may not" if get_token() else "none is set"


def first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return (lines[0] if lines else type(problem).__name__).rstrip(".: ")
