"""Row stores: append-only files of rows, so that no answer, score or judgement is made twice."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import naming

Rows = dict[str, dict[str, Any]]


def read_store(path: Path) -> Rows:
    """The rows of a store by key; an incomplete last line is skipped."""
    rows: Rows = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                rows[row["key"]] = row
            except (ValueError, TypeError, KeyError):
                raise EmgridError(
                    f"{path}:{number}: not a stored row; if the disk damaged it, delete this line, "
                    "and its row is made again"
                ) from None
    return rows


class RowStore:
    """Rows by their `key`, in a file with one JSON object per line and one writer at a time.

    On opening, an incomplete last line (of a killed writer) is cut off. An append returns after
    its rows are on disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.cut_torn_line()
        self.rows: Rows = read_store(path) if path.exists() else {}

    def cut_torn_line(self) -> None:
        with self.path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                self.rows[row["key"]] = row
            file.flush()
            os.fsync(file.fileno())
