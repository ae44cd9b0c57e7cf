"""Canonical JSON, content hashes, and atomic file writes."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import FULL

# The folder in which Snakemake was started; jobs run in the grid's folder.
STARTED_IN = "EMGRID_STARTED_IN"
# The folder in which a command was called, if that is another one.
CALLED_IN = "EMGRID_CALLED_IN"


def canonical(value: Any) -> str:
    """JSON with sorted keys and without extra white space: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Hex sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def content_key(text: str) -> str:
    """The key of a stored row: a hash of canonical JSON, 32 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def users_path(name: str | Path) -> Path:
    """A path that a user wrote, relative to the folder in which Snakemake was started or, if it is
    only there, to the one in which the command was called."""
    path = Path(name).expanduser()
    started, called = os.environ.get(STARTED_IN, ""), os.environ.get(CALLED_IN)
    if called and not (Path(started) / path).exists() and (Path(called) / path).exists():
        return Path(called) / path
    return Path(started) / path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path next to `path`. On success it is renamed to `path`, otherwise deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with naming(path):
            yield draft
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to the error of a full disk, which a write raises without one."""
    try:
        yield
    except OSError as problem:
        if problem.errno in FULL:
            problem.filename = problem.filename or str(path)
        raise


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with whole_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file that emgrid wrote."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                raise EmgridError(f"{path}:{number}: not a JSON object; was it edited?") from None
    return rows
