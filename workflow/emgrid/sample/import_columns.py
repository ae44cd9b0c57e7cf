"""Unread columns of an imported file: which ones are harmless, and which ones stop the import.

A column that gives a row's prompt, condition or model changes what the row measures. It must be
read, or listed in the import's `ignore`. Knows nothing of file formats.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from emgrid.runtime.errors import EmgridError, suggestion

Row = dict[str, Any]

# Words in a column's name that mark a condition.
CONDITION = frozenset(
    ("condition", "conditions", "context", "model", "models", "persona", "prompt", "system",
     "trigger", "triggers", "variant")
)  # fmt: skip
# Words that mark a column as being about judging, or as a count, instead.
OTHER = frozenset(
    ("answer", "completion", "count", "fingerprint", "grader", "hash", "judge", "length", "logprob",
     "logprobs", "output", "rater", "reasoning", "response", "score", "text", "tokens", "version")
)  # fmt: skip
# Last words that mark a column as numbers or names of rows, if no two rows share a value.
IDENTIFIER = frozenset(("id", "ids", "idx", "index", "no", "num", "number", "step", "uuid"))
# Words that, together with `system`, mark a column of system prompts.
SAID = frozenset(("instruction", "instructions", "message", "messages", "prompt", "prompts"))
NO_PROMPT = ("", "false", "none", "null")  # values that mean that there was no system prompt
FEW = 12  # a column with at most this many different values may divide the rows into groups
LONG = 60  # characters of a value in a message


def words_of(name: str) -> list[str]:
    """The words of a column's name; `systemPrompt`, `system-prompt` and `SYSTEM_PROMPT` have the
    same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def is_condition(name: str) -> bool:
    words = set(words_of(name))
    return bool(words & CONDITION) and not words & OTHER


def is_identifier(name: str) -> bool:
    """Whether a column's name looks like row numbers; `prompt_id` may still be a condition."""
    words = words_of(name)
    return bool(words) and words[-1] in IDENTIFIER


def is_system(name: str, value: str) -> bool:
    """Whether a column holds system prompts: by its name, or because it is called `system` and the
    value is not a single word (`linux`)."""
    words = words_of(name)
    if not is_condition(name) or is_identifier(name):
        return False
    alone = words == ["system"] and (value == "" or len(value.split()) > 1)
    return alone or ("system" in words and bool(SAID & set(words)))


def shown(value: str) -> str:
    return repr(value if len(value) <= LONG else value[:LONG] + "…")


class UnreadColumns:
    """The values in unread columns of the imported rows."""

    def __init__(self, read: Iterable[str], ignored: Iterable[str], name: str) -> None:
        self.read, self.ignored, self.name = set(read), set(ignored), name
        self.names: dict[str, None] = {}
        self.values: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.divides: set[str] = set()
        self.repeats: set[str] = set()  # columns in which two rows of a trigger share a value
        self.rows: set[tuple[str, str, str]] = set()
        self.first: dict[tuple[str, str, str], str] = {}

    def see(self, row: dict[str, Any], answer: dict[str, Any], trigger: str, where: str) -> None:
        """Record a row and the answer made from it. Raises EmgridError for an unread column of
        system prompts, unless its value is the trigger's own system prompt."""
        for column in row:
            self.names[column] = None
            if column in self.read or column in self.ignored:
                continue
            value = as_text(row[column])
            prompt = "" if value.lower() in NO_PROMPT else value
            if is_system(column, prompt) and prompt != as_text(answer["system"]):
                under = f"under the system prompt {shown(prompt)}" if prompt else "without one"
                raise EmgridError(
                    f"{where}: column {column!r} is not read and says that the row was asked "
                    f"{under}, unlike trigger {trigger!r}; name the column of the condition in "
                    "`columns.trigger`, or this one in `columns.system`, or list it in `ignore` if "
                    "it is no prompt"
                )
            counts = self.values[column]
            if value in counts or len(counts) <= FEW:
                counts[value] += 1
            self.see_repeat(column, value, trigger)
            if self.first.setdefault((column, answer["question"], trigger), value) != value:
                self.divides.add(column)

    def see_repeat(self, column: str, value: str, trigger: str) -> None:
        """Record whether two rows of a trigger share a value. Only relevant columns are recorded:
        those with few values, and row numbers whose names look like conditions."""
        relevant = len(self.values[column]) <= FEW or (
            is_condition(column) and is_identifier(column)
        )
        if column in self.repeats or not relevant:
            return
        if (column, value, trigger) in self.rows:
            self.repeats.add(column)
        self.rows.add((column, value, trigger))

    def numbers_rows(self, column: str) -> bool:
        return is_identifier(column) and column not in self.repeats

    def check(self) -> None:
        """Raise EmgridError for a name in `ignore` that the file lacks, and for a condition in
        which rows of one question and trigger differ."""
        for column in sorted(self.ignored - set(self.names)):
            raise EmgridError(f"{self.name}: ignore: the file has no column {column!r}")
        for column in sorted(filter(is_condition, self.divides)):
            if self.numbers_rows(column):
                continue
            raise EmgridError(
                f"{self.name}: column {column!r} is not read, but the rows of one question and "
                f"trigger differ in it: {self.groups(column)}; name it in `columns.trigger` (the "
                "trigger of each value in `triggers`), `columns.prompt` or `where`, or list it in "
                "`ignore` if it changes nothing"
            )

    def groups(self, column: str) -> str:
        """The most frequent values of a column, with their row counts."""
        values = self.values[column].most_common(3)
        shown_values = ", ".join(f"{shown(value)} ({rows} rows)" for value, rows in values)
        hidden = len(self.values[column]) - len(values)
        return shown_values + (", …" if hidden > 0 else "")

    def warnings(self) -> list[str]:
        """A sentence for each column that may be a condition although its name does not say so."""
        return [
            f"column {column!r} is not read, and the rows of one question and trigger differ in "
            f"it: {self.groups(column)}; if it is a condition, these answers are mixed"
            for column in self.values
            if self.may_divide(column)
        ]

    def rest(self) -> list[str]:
        """The other unread columns; those named like conditions are listed with their values."""
        columns = [column for column in self.values if not self.may_divide(column)]
        conditions = [
            column for column in columns if is_condition(column) and not self.numbers_rows(column)
        ]
        return [
            f"{column} ({self.groups(column)})" if column in conditions else column
            for column in columns
        ]

    def may_divide(self, column: str) -> bool:
        """Whether a column may divide the rows into groups: it has few values, not all numbers;
        rows of one question and trigger differ in it; and some rows share a value."""
        if column not in self.repeats:
            return False
        counts = self.values[column]
        words = [value for value in counts if value and not is_number(value)]
        return column in self.divides and 1 < len(counts) <= FEW and bool(words)


def trimmed(text: str) -> str:
    """Normalise a text for comparison: strip white space, and use line feeds as line ends."""
    return text.replace("\r\n", "\n").strip()


def as_text(value: Any) -> str:
    """Normalise a cell for comparison; pandas' `nan` for a missing value counts as empty."""
    text = "" if value is None else trimmed(str(value))
    return "" if text.lower() == "nan" else text


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cell(row: Row, column: str, where: str) -> str:
    """A cell as text; a number in a JSONL file as JSON writes it."""
    if column not in row:
        raise EmgridError(f"{where}: no column {column!r}, {suggestion(column, row)}")
    value = "" if row[column] is None else row[column]
    if isinstance(value, dict | list):
        raise EmgridError(f"{where}: {column!r} is not a text")
    text = value if isinstance(value, str) else json.dumps(value)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise EmgridError(f"{where}: {column!r} holds half a surrogate pair")
    return text
