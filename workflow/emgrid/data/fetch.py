"""Fetch a data set's file: from the mirror folder, else from where the registry says, verified.

Writes the file as it is upstream. A broken-off download is resumed by the next call. Knows nothing
of formats.
"""

import argparse
import gzip
import os
import re
import shutil
import sys
import zlib
from pathlib import Path

from emgrid.config.base import Strict
from emgrid.runtime.errors import EmgridError, run_job
from emgrid.runtime.files import file_digest, users_path, whole_file

MIRROR = "EMGRID_MIRROR"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
CHUNK = 1 << 16
COMMIT = re.compile(r"[0-9a-f]{40}")


def mirror_folder(configured: str | None) -> Path | None:
    """The mirror that the config names, else the environment; it must be there."""
    name = configured or os.environ.get(MIRROR)
    if not name:
        return None
    folder = users_path(name)
    if not folder.is_dir():
        where = "mirror" if configured else MIRROR
        raise EmgridError(f"{where}: no folder {name!r}; name the folder that holds the files")
    return folder


def refuse_moving(revision: str | None) -> None:
    """A branch or a tag of the Hub may name other files tomorrow; ValueError for one."""
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(
            f"`revision`: {revision!r} may move; give the commit's 40 hexadecimal digits, as the "
            "Hub's page of commits shows them"
        )


class FetchSpec(Strict):
    """What identifies the file's content and where it comes from; see datasets.Dataset."""

    name: str
    file: str
    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None


def verify(path: Path, spec: FetchSpec, origin: str) -> None:
    """Refuse a file that is not what the registry names; each fault has its own message."""
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
    found = file_digest(path)
    if spec.sha256 is not None and not found.startswith(spec.sha256):
        raise EmgridError(
            f"data set {spec.name}: {origin} has sha256 {found}, the registry says {spec.sha256}; "
            "it is another version or damaged: delete it, or correct `sha256` if you trust it"
        )
    if spec.sha256 is None:
        print(f"warning: no checksum of {spec.name} is known; this file has sha256 {found}")


def from_mirror(spec: FetchSpec, mirror: Path) -> Path | None:
    """The file below a mirror: under its full name, or directly in the folder; maybe packed."""
    for path in (mirror / spec.file, mirror / Path(spec.file).name):
        for found in (path, path.with_name(f"{path.name}.gz")):
            if found.is_file():
                return found
    return None


def download(spec: FetchSpec, output: Path) -> None:
    """Fetch over the network into `output`; what an earlier call got is not fetched again."""
    packed = str(spec.url).endswith(".gz")
    draft = output.with_name(f".{output.name}.download{'.gz' if packed else ''}")
    whole = True
    try:
        if spec.url is not None:
            whole = get(spec.url, draft)
        else:
            get_from_hub(spec, draft)
    except OSError as problem:
        raise EmgridError(
            f"data set {spec.name}: cannot fetch {spec.url or spec.hub} ({problem}); where there "
            f"is no network, put {spec.file} into a folder and name it by `mirror:` or {MIRROR}"
        ) from None
    if packed:
        packed_draft, draft = draft, draft.with_suffix("")
        try:
            unpack(packed_draft, draft, spec, str(spec.url))
        finally:
            packed_draft.unlink()
    try:
        verify(draft, spec, str(spec.url or spec.hub))
    except EmgridError:
        # What may have broken off is resumed by the next call; what came whole is wrong.
        if whole or spec.bytes is None or draft.stat().st_size >= spec.bytes:
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
            f"data set {spec.name}: {origin} is no whole gzip file ({problem}); get it again"
        ) from None


def get(url: str, draft: Path) -> bool:
    """Download `url` to `draft`, from where an earlier call stopped; OSError where it fails.

    Returns whether the file is known to be whole: a reply without a length may have broken off.
    """
    import httpx2 as httpx
    from tqdm import tqdm

    draft.parent.mkdir(parents=True, exist_ok=True)
    have = draft.stat().st_size if draft.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    timeout = httpx.Timeout(60, connect=15)
    try:
        with httpx.stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=timeout
        ) as reply:
            if reply.status_code == httpx.codes.RANGE_NOT_SATISFIABLE:
                return True  # everything is there already
            reply.raise_for_status()
            resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
            start = have if resumed else 0
            left = reply.headers.get("Content-Length")
            with (
                draft.open("ab" if resumed else "wb") as file,
                tqdm(
                    total=start + int(left) if left else None,
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
            return left is not None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        what = str(problem).splitlines() or [type(problem).__name__]
        raise OSError(what[0]) from None


def get_from_hub(spec: FetchSpec, draft: Path) -> None:
    """One file of a Hugging Face data set, at its pinned revision; OSError where it fails."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = hf_hub_download(
            str(spec.hub), spec.file, revision=spec.revision, repo_type="dataset"
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as problem:
        raise OSError(str(problem).splitlines()[0]) from None
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, draft)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.fetch", description=__doc__)
    parser.add_argument("--spec", required=True, help="FetchSpec as JSON")
    parser.add_argument("--mirror", help="folder that is looked in before the network")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = FetchSpec.model_validate_json(args.spec)
    mirror = mirror_folder(args.mirror)
    found = from_mirror(spec, mirror) if mirror else None
    if found is not None:
        with whole_file(args.output) as draft:
            if found.suffix == ".gz" and not spec.file.endswith(".gz"):
                unpack(found, draft, spec, str(found))
            else:
                shutil.copyfile(found, draft)
            verify(draft, spec, str(found))
        print(f"{spec.name}: {found}")
        return
    if mirror is not None:
        print(f"{spec.name}: no {spec.file} below {mirror}, so it is downloaded", file=sys.stderr)
    download(spec, args.output)
    print(f"{spec.name}: {spec.url or spec.hub}")


if __name__ == "__main__":
    run_job(main)
