"""Kept rows: an append-only file from which nothing that was drawn is ever drawn again."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class KeptRows:
    """Rows by their `key`, one JSON object a line, one writer at a time.

    A torn last line (the writer was killed) is cut off on opening; each append is on disk before
    it returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.cut_torn_line()
            with path.open(encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    self.rows[row["key"]] = row

    def cut_torn_line(self) -> None:
        with self.path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                self.rows[row["key"]] = row
            file.flush()
            os.fsync(file.fileno())
