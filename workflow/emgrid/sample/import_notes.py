"""What users should know about the rows of an imported file."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from emgrid.sample.import_columns import shown

SHOWN = 3  # questions that a note names


@dataclass(frozen=True)
class Note:
    """A note on an import. level: `warning` and `unused` appear in the report, `log` does not.
    rows: the number of rows it concerns; None if it concerns the file. first: the first row."""

    level: str
    text: str
    rows: int | None = None
    first: str | None = None

    def line(self) -> str:
        return (
            self.text if self.rows is None else f"{self.text}: {self.rows} rows, first {self.first}"
        )


class Notes:
    """Notes on rows; equal notes are counted."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], list[Any]] = {}

    def add(self, level: str, text: str, where: str) -> None:
        entry = self.counts.setdefault((level, text), [0, where])
        entry[0] += 1

    def listed(self) -> list[Note]:
        return [Note(level, text, *entry) for (level, text), entry in self.counts.items()]


class LackingQuestions:
    """The rows that are skipped because the question set lacks their questions."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.first = ""

    def add(self, question: str, where: str) -> None:
        self.rows[question] += 1
        self.first = self.first or where

    def listed(self) -> list[Note]:
        if not self.rows:
            return []
        names = ", ".join(shown(question) for question, _ in self.rows.most_common(SHOWN))
        more = f" and {len(self.rows) - SHOWN} more" if len(self.rows) > SHOWN else ""
        text = f"left out, the question set lacks {names}{more}"
        return [Note("unused", text, self.rows.total(), self.first)]
