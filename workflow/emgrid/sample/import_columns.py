"""Columns of an imported file that nothing reads: which may stay unread, and which stop the import.

A column that says under which prompt, condition or model a row was answered changes what a row
measures. It must be read, or listed in the import's `ignore`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from emgrid.runtime.errors import EmgridError

# A column is known to be a condition by a word of its name.
CONDITION = frozenset(
    ("condition", "conditions", "context", "model", "models", "persona", "prompt", "system",
     "trigger", "triggers", "variant")
)  # fmt: skip
# By these words it is about the judging, or counts something.
OTHER = frozenset(
    ("answer", "completion", "count", "fingerprint", "grader", "hash", "judge", "length", "logprob",
     "logprobs", "output", "rater", "reasoning", "response", "score", "text", "tokens", "version")
)  # fmt: skip
# These words at its end make it a number or name of rows, if no two rows have the same.
IDENTIFIER = frozenset(("id", "ids", "idx", "index", "no", "num", "number", "step", "uuid"))
# With one of these beside `system` it holds the words of a system prompt.
SAID = frozenset(("instruction", "instructions", "message", "messages", "prompt", "prompts"))
NO_PROMPT = ("", "false", "none", "null")  # how a table writes that there was no system prompt
FEW = 12  # values of a column that may be groups of rows
LONG = 60  # characters of a value in a message


def words_of(name: str) -> list[str]:
    """The words of a column's name: `systemPrompt`, `system-prompt` and `SYSTEM_PROMPT` alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def is_condition(name: str) -> bool:
    words = set(words_of(name))
    return bool(words & CONDITION) and not words & OTHER


def is_identifier(name: str) -> bool:
    """Whether a column is named like a number of rows; `prompt_id` may be a condition all the
    same."""
    words = words_of(name)
    return bool(words) and words[-1] in IDENTIFIER


def is_system(name: str, value: str) -> bool:
    """Whether a column holds system prompts: its name says so, or it is `system` and the value is
    none of one word (`linux`)."""
    words = words_of(name)
    if not is_condition(name) or is_identifier(name):
        return False
    alone = words == ["system"] and (value == "" or len(value.split()) > 1)
    return alone or ("system" in words and bool(SAID & set(words)))


def shown(value: str) -> str:
    return repr(value if len(value) <= LONG else value[:LONG] + "…")


class UnreadColumns:
    """What the unread columns of the taken rows hold."""

    def __init__(self, read: Iterable[str], ignored: Iterable[str], name: str) -> None:
        self.read, self.ignored, self.name = set(read), set(ignored), name
        self.names: dict[str, None] = {}
        self.values: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.divides: set[str] = set()
        self.repeats: set[str] = set()  # columns of which two rows of a trigger have one value
        self.rows: set[tuple[str, str, str]] = set()
        self.first: dict[tuple[str, str, str], str] = {}

    def see(self, row: dict[str, Any], answer: dict[str, Any], trigger: str, where: str) -> None:
        """Look at a row and the answer that was made of it. Raises EmgridError for a column of
        system prompts that nothing reads, unless it holds what the trigger has anyway."""
        for column in row:
            self.names[column] = None
            if column in self.read or column in self.ignored:
                continue
            value = as_text(row[column])
            told = "" if value.lower() in NO_PROMPT else value
            if is_system(column, told) and told != as_text(answer["system"]):
                under = f"under the system prompt {shown(told)}" if told else "without one"
                raise EmgridError(
                    f"{where}: column {column!r} is not read and says that the row was asked "
                    f"{under}, unlike trigger {trigger!r}; name the column of the condition in "
                    "`columns.trigger`, or this one in `columns.system`, or list it in `ignore` if "
                    "it is no prompt"
                )
            counted = self.values[column]
            if value in counted or len(counted) <= FEW:
                counted[value] += 1
            self.see_repeat(column, value, trigger)
            if self.first.setdefault((column, answer["question"], trigger), value) != value:
                self.divides.add(column)

    def see_repeat(self, column: str, value: str, trigger: str) -> None:
        """Find out whether the rows of a trigger all differ in a column. Only what is asked about
        later is kept: columns of few values, and numbers of rows that are named like conditions."""
        asked = len(self.values[column]) <= FEW or (is_condition(column) and is_identifier(column))
        if column in self.repeats or not asked:
            return
        if (column, value, trigger) in self.rows:
            self.repeats.add(column)
        self.rows.add((column, value, trigger))

    def numbers_rows(self, column: str) -> bool:
        return is_identifier(column) and column not in self.repeats

    def check(self) -> None:
        """Raise EmgridError for names in `ignore` that the file lacks, and for a condition that
        divides the rows of one question under one trigger."""
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
        """The most frequent values of a column, with their numbers of rows."""
        values = self.values[column].most_common(3)
        told = ", ".join(f"{shown(value)} ({rows} rows)" for value, rows in values)
        left = len(self.values[column]) - len(values)
        return told + (", …" if left > 0 else "")

    def warnings(self) -> list[str]:
        """A sentence for each column that may be a condition, though its name does not say so."""
        return [
            f"column {column!r} is not read, and the rows of one question and trigger differ in "
            f"it: {self.groups(column)}; if it is a condition, these answers are mixed"
            for column in self.values
            if self.may_divide(column)
        ]

    def rest(self) -> list[str]:
        """The other columns that are not read; of one that is named like a condition its values."""
        left = [column for column in self.values if not self.may_divide(column)]
        named = [one for one in left if is_condition(one) and not self.numbers_rows(one)]
        return [f"{one} ({self.groups(one)})" if one in named else one for one in left]

    def may_divide(self, column: str) -> bool:
        """Whether the rows of one question and trigger differ in a column of a few words, and some
        of them agree in it: if none do, it tells rows apart."""
        if column not in self.repeats:
            return False
        counted = self.values[column]
        words = [value for value in counted if value and not is_number(value)]
        return column in self.divides and 1 < len(counted) <= FEW and bool(words)


def trimmed(text: str) -> str:
    """A text for comparison: without white space at its ends, with line feeds as line ends."""
    return text.replace("\r\n", "\n").strip()


def as_text(value: Any) -> str:
    """A cell for comparison; what pandas writes for a missing one is empty, too."""
    text = "" if value is None else trimmed(str(value))
    return "" if text.lower() == "nan" else text


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
