"""Fetch a data set's file from the mirror folder or else from its source, and verify it.

Writes the file unchanged. An interrupted download is resumed by the next call. Knows nothing of
formats.
"""

import argparse
import gzip
import shutil
import sys
import zlib
from pathlib import Path

from emgrid.config.base import Strict
from emgrid.config.origins import MIRROR, mirror_folder
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import file_digest, whole_file
from emgrid.runtime.job import run_job

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
CHUNK = 1 << 16


class FetchSpec(Strict):
    """The identity and the source of a file; the fields are those of convert.Dataset."""

    name: str
    file: str
    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None


def verify(path: Path, spec: FetchSpec, origin: str) -> None:
    """Raise EmgridError if a file is not the one that the registry names."""
    with path.open("rb") as file:
        head = file.read(len(LFS_POINTER))
    if head == LFS_POINTER:
        raise EmgridError(
            f"data set {spec.name}: {origin} is a Git LFS pointer, not the data; run `git lfs "
            "pull` in that checkout, or download the file itself"
        )
    size = path.stat().st_size
    if spec.bytes is not None and size < spec.bytes:
        raise EmgridError(
            f"data set {spec.name}: {origin} is truncated, {size:,} of {spec.bytes:,} bytes; "
            "copy or download it again"
        )
    sha256 = file_digest(path)
    if spec.sha256 is not None and not sha256.startswith(spec.sha256):
        raise EmgridError(
            f"data set {spec.name}: {origin} has sha256 {sha256}, the registry says {spec.sha256}; "
            "it is another version or damaged: delete it, or correct `sha256` if you trust it"
        )
    if spec.sha256 is None:
        print(f"warning: no checksum of {spec.name} is known; this file has sha256 {sha256}")


def from_mirror(spec: FetchSpec, mirror: Path) -> Path | None:
    """The file in a mirror, by its full name or directly in the folder, possibly as .gz; None if
    there is none."""
    for path in (mirror / spec.file, mirror / Path(spec.file).name):
        for candidate in (path, path.with_name(f"{path.name}.gz")):
            if candidate.is_file():
                return candidate
    return None


def download(spec: FetchSpec, output: Path) -> None:
    """Download to `output`, resuming an earlier call's download."""
    compressed = str(spec.url).endswith(".gz")
    draft = output.with_name(f".{output.name}.download{'.gz' if compressed else ''}")
    complete = True
    try:
        if spec.url is not None:
            complete = get(spec.url, draft)
        else:
            get_from_hub(spec, draft)
    except OSError as problem:
        raise EmgridError(
            f"data set {spec.name}: cannot fetch {spec.url or spec.hub} ({problem}); without a "
            f"network, put {spec.file} into a folder and name the folder by `mirror:` or {MIRROR}"
        ) from None
    if compressed:
        packed_draft, draft = draft, draft.with_suffix("")
        try:
            unpack(packed_draft, draft, spec, str(spec.url))
        finally:
            packed_draft.unlink()
    try:
        verify(draft, spec, str(spec.url or spec.hub))
    except EmgridError:
        # Keep a draft that may be incomplete, for the next call; delete one that is complete.
        if complete or spec.bytes is None or draft.stat().st_size >= spec.bytes:
            draft.unlink()
        raise
    draft.replace(output)


def unpack(packed: Path, target: Path, spec: FetchSpec, origin: str) -> None:
    try:
        with gzip.open(packed) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        target.unlink()
        raise EmgridError(
            f"data set {spec.name}: {origin} is not a complete gzip file ({problem}); copy or "
            "download it again"
        ) from None


def get(url: str, draft: Path) -> bool:
    """Download `url` to `draft`, continuing where an earlier call stopped. Raises OSError.

    Returns whether the file is known to be complete: a reply without a length may have been cut.
    """
    import httpx2 as httpx
    from tqdm import tqdm

    draft.parent.mkdir(parents=True, exist_ok=True)
    size = draft.stat().st_size if draft.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={size}-"} if size else {}
    timeout = httpx.Timeout(60, connect=15)
    try:
        with httpx.stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=timeout
        ) as reply:
            if reply.status_code == httpx.codes.RANGE_NOT_SATISFIABLE:
                return True  # the draft is already complete
            reply.raise_for_status()
            resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
            start = size if resumed else 0
            length = reply.headers.get("Content-Length")
            with (
                draft.open("ab" if resumed else "wb") as file,
                tqdm(
                    total=start + int(length) if length else None,
                    initial=start,
                    unit="B",
                    unit_scale=True,
                    desc=Path(url).name,
                    mininterval=1,
                ) as progress,
            ):
                for chunk in reply.iter_raw(CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
            return length is not None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        message = str(problem).splitlines() or [type(problem).__name__]
        raise OSError(message[0]) from None


def get_from_hub(spec: FetchSpec, draft: Path) -> None:
    """Download one file of a Hugging Face data set at its pinned revision. Raises OSError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        cached = hf_hub_download(
            str(spec.hub), spec.file, revision=spec.revision, repo_type="dataset"
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as problem:
        raise OSError(str(problem).splitlines()[0]) from None
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cached, draft)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.fetch", description=__doc__)
    parser.add_argument("--spec", required=True, help="FetchSpec as JSON")
    parser.add_argument("--mirror", help="folder to search before the network")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = FetchSpec.model_validate_json(args.spec)
    mirror = mirror_folder(args.mirror)
    mirrored = from_mirror(spec, mirror) if mirror else None
    if mirrored is not None:
        with whole_file(args.output) as draft:
            if mirrored.suffix == ".gz" and not spec.file.endswith(".gz"):
                unpack(mirrored, draft, spec, str(mirrored))
            else:
                shutil.copyfile(mirrored, draft)
            verify(draft, spec, str(mirrored))
        print(f"{spec.name}: {mirrored}")
        return
    if mirror is not None:
        print(f"{spec.name}: no {spec.file} below {mirror}, so it is downloaded", file=sys.stderr)
    download(spec, args.output)
    print(f"{spec.name}: {spec.url or spec.hub}")


if __name__ == "__main__":
    run_job(main)
