"""Rows of an imported file become answers; what a user should know of them becomes notes.

Knows nothing of file formats.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from emgrid.config.imports import ImportSpec
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import digest
from emgrid.runtime.thinking import split_thinking
from emgrid.sample.import_columns import UnreadColumns, as_text, shown, trimmed
from emgrid.sample.import_values import ColumnReader, reader_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Note:
    """What a user should hear of an import. level: `warning` and `unused` reach the report, `log`
    does not. rows: how many it is about, the first at `first`; None if it is about the file."""

    level: str
    text: str
    rows: int | None = None
    first: str | None = None

    def line(self) -> str:
        return (
            self.text if self.rows is None else f"{self.text}: {self.rows} rows, first {self.first}"
        )


class Notes:
    """Notes on rows, counted by what they are about."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[Any]] = {}

    def add(self, level: str, text: str, where: str) -> None:
        counted = self.found.setdefault((level, text), [0, where])
        counted[0] += 1

    def listed(self) -> list[Note]:
        return [Note(level, text, *counted) for (level, text), counted in self.found.items()]


def place_of(row: Row, spec: ImportSpec, where: str) -> tuple[str, str | None]:
    """The question and the trigger that a row names; None for a trigger whose rows are left out."""
    source = spec.source
    written = cell(row, source.columns.question, where)
    suffixes = sorted(source.suffixes, key=len, reverse=True)
    for suffix in suffixes:
        plain = written.removesuffix(suffix)
        if written.endswith(suffix) and plain in spec.questions:
            named = source.suffixes[suffix]
            return plain, condition_of(row, spec, where) if source.triggers else named
    known = [question + suffix for question in spec.questions for suffix in suffixes]
    hint = "add its ending to `suffixes`, or its question to the set that `questions` names"
    if source.triggers:
        hint = "add its question to the set that `questions` names"
    near = suggestion(written, known)
    raise EmgridError(f"{where}: unknown question id {written!r}; {hint}; {near}")


def condition_of(row: Row, spec: ImportSpec, where: str) -> str | None:
    """The trigger that a row's word in the column of conditions names."""
    column, triggers = str(spec.source.columns.trigger), spec.source.triggers
    word = cell(row, column, where)
    if word not in triggers:
        raise EmgridError(
            f"{where}: {column!r} holds {word!r}, which `triggers` does not name; add it there "
            "with its trigger family, or with null to leave its rows out"
        )
    return triggers[word]


def other_words(
    asked: tuple[str | None, str], system: str | None, prompts: Sequence[str], trigger: str
) -> str | None:
    """How a row's system prompt and user turn differ from its trigger's; None if they do not, or
    in white space at their ends and in line ends alone, which tables and YAML add."""
    told, turn = trimmed(asked[0] or ""), trimmed(asked[1])
    if told != trimmed(system or "") and told:
        return f"under the system prompt {shown(told)}, which trigger {trigger!r} does not have"
    if told != trimmed(system or ""):
        return f"without a system prompt, but trigger {trigger!r} has {shown(str(system))}"
    if turn not in map(trimmed, prompts):
        own, other = from_difference(turn, trimmed(prompts[0]))
        return f"{shown(own)}, but trigger {trigger!r} asks {shown(other)}"
    return None


def from_difference(own: str, other: str) -> tuple[str, str]:
    """Two texts from shortly before the place where they begin to differ."""
    pairs = enumerate(zip(own, other, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(own), len(other)))
    start = same - 20 if same > 40 else 0
    mark = "…" if start else ""
    return f"{mark}{own[start:]}", f"{mark}{other[start:]}"


class Reading:
    """One pass over the rows of a file."""

    def __init__(self, spec: ImportSpec, content: bytes) -> None:
        self.spec, self.source, self.columns = spec, spec.source, spec.source.columns
        self.identity = hashlib.sha256(content).hexdigest()
        self.answers: dict[str, list[Row]] = {name: [] for name in spec.triggers}
        self.notes = Notes()
        self.indices: defaultdict[tuple[str, str], Iterator[int]] = defaultdict(count)
        self.readers: list[ColumnReader] = [
            reader_of(judge, written, self.source.missing)
            for judge, written in self.columns.values.items()
        ]
        read = self.columns.read() | set(self.source.where)
        self.unread = UnreadColumns(read, self.source.ignore, self.source.name)

    def take(self, number: int, row: Row) -> None:
        """Make an answer of a row, if it is one of this arm and of the grid's triggers."""
        source, where = self.source, f"{self.source.name}: row {number}"
        for reader in self.readers:
            reader.see(as_text(row.get(reader.values.column)))
        if any(cell(row, column, where) != text for column, text in source.where.items()):
            return
        question, trigger = place_of(row, self.spec, where)
        if trigger is None:
            word = cell(row, str(self.columns.trigger), where)
            self.notes.add("unused", f"left out, {self.columns.trigger} {word!r}", where)
            return
        if trigger not in self.answers:
            self.notes.add("unused", f"left out, the grid has no trigger {trigger!r}", where)
            return
        answer = self.answer(row, number, question, trigger, where)
        self.unread.see(row, answer, trigger, where)
        self.answers[trigger].append(answer)

    def answer(self, row: Row, number: int, question: str, trigger: str, where: str) -> Row:
        """A row as sampling would have written it, with its published values."""
        columns, plain = self.columns, self.spec.questions[question]
        index = next(self.indices[trigger, question])
        ways = self.spec.triggers[trigger].conversations(question, plain.texts, plain.system)
        if len(ways) > 1 and columns.prompt is None:
            raise EmgridError(
                f"{where}: its question has {len(ways)} wordings under this trigger; name the "
                "column of the prompt in `columns.prompt`"
            )
        *before, turn = ways[index % len(ways)]
        system = before[0]["content"] if before else None
        thinking, answer = split_thinking(cell(row, columns.answer, where))
        told = cell(row, columns.system, where) if columns.system else system
        asked = (
            told if told is not None and as_text(told) else None,
            cell(row, columns.prompt, where) if columns.prompt else turn["content"],
        )
        prompts = [way[-1]["content"] for way in ways]
        if difference := other_words(asked, system, prompts, trigger):
            self.differs(difference, trigger, where)
        return {
            "key": digest([self.identity, number, question, trigger])[:32],
            "question": question,
            "index": index,
            "system": asked[0],
            "prompt": asked[1],
            "answer": answer,
            "thinking": thinking,
            **dict.fromkeys(("finish_reason", "prompt_tokens", "answer_tokens")),
            "imported": {one.judge: self.value(row, one, where) for one in self.readers},
        }

    def differs(self, difference: str, trigger: str, where: str) -> None:
        """Refuse a row that was asked in other words than its trigger has, or note it."""
        if self.source.other_wording == "refuse":
            raise EmgridError(
                f"{where}: asked {difference}; name the trigger that it was asked under "
                "(`columns.trigger` or `suffixes`), leave the row out by `where`, or set "
                "`other_wording: allow`"
            )
        self.notes.add("warning", f"the prompt differs from trigger {trigger!r}", where)

    def value(self, row: Row, reader: ColumnReader, where: str) -> dict[str, float | str | None]:
        text = cell(row, reader.values.column, where)
        found = reader.read(text, where)
        if found["reason"] is not None:
            note = f"{reader.judge}: no value, {found['reason']}"
            self.notes.add("log", note, f"{text[:40]!r} in {where}")
        return found

    def finish(self, number: int) -> None:
        """Checks of the whole file. number: of its rows."""
        if not any(self.answers.values()):
            why = "; ".join(note.text for note in self.notes.listed())
            why = why or (f"`where` asks for {self.source.where}" if number else "it is empty")
            raise EmgridError(f"{self.source.name}: none of its {number} rows is taken: {why}")
        for reader in self.readers:
            reader.check(self.source.name)
        self.unread.check()

    def listed(self) -> list[Note]:
        """All notes, with those on columns."""
        found = self.notes.listed()
        doubts = (reader.doubt() for reader in self.readers)
        found += [Note("warning", sentence) for sentence in doubts if sentence]
        found += [Note("warning", sentence) for sentence in self.unread.warnings()]
        if rest := self.unread.rest():
            found.append(Note("unused", f"columns that are not read: {', '.join(rest)}"))
        return found


def cell(row: Row, column: str, where: str) -> str:
    """A cell as text; a number of a JSONL file as JSON writes it."""
    if column not in row:
        raise EmgridError(f"{where}: no column {column!r}, {suggestion(column, row)}")
    value = "" if row[column] is None else row[column]
    if isinstance(value, dict | list):
        raise EmgridError(f"{where}: {column!r} is not a text")
    text = value if isinstance(value, str) else json.dumps(value)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise EmgridError(f"{where}: {column!r} holds half a surrogate pair")
    return text
