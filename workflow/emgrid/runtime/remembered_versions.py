"""Code versions that earlier processes computed: to follow all code takes a second.

A file in the package's `__pycache__` holds them, with a digest of all sources and of Python's
version. It does not count if the digest has changed.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from emgrid.runtime.files import write_json

FILE = "__pycache__/code_versions.json"


def remembered(package: Path, question: str, compute: Callable[[], str]) -> str:
    """The version that an earlier process computed for this question, or the one of `compute`."""
    path, sources = package / FILE, digest_of(package)
    versions = read(path, sources)
    if question not in versions:
        versions[question] = compute()
        with contextlib.suppress(OSError):  # an installed package may be read-only
            write_json(path, {"sources": sources, "versions": versions})
    return versions[question]


def read(path: Path, sources: str) -> dict[str, str]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(content["versions"]) if content.get("sources") == sources else {}


@cache
def digest_of(package: Path) -> str:
    """A hash of the package's sources and of Python's version, whose syntax trees differ."""
    files = [
        (path.relative_to(package).as_posix(), path.read_bytes())
        for path in sorted(package.rglob("*.py"))
    ]
    return hashlib.sha256(repr((sys.version, files)).encode()).hexdigest()
