"""Files with a row for each judgement: the rows of one answer are brought together.

Knows nothing of file formats and of what makes an answer of a row.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from emgrid.config.imports import Columns, Judgements
from emgrid.judge.drawn_replies import together
from emgrid.judge.judgement import Judgement
from emgrid.runtime.errors import EmgridError
from emgrid.sample.import_columns import Row, cell, shown
from emgrid.sample.import_notes import Notes
from emgrid.sample.import_values import ColumnReader

Place = tuple[str, str]  # question and trigger


class Calls:
    """The judgements of a file's answers. value: reads the value of a row for a judge."""

    def __init__(
        self,
        judgements: Judgements,
        readers: Sequence[ColumnReader],
        columns: Columns,
        value: Callable[[Row, ColumnReader, str], dict[str, Any]],
    ) -> None:
        self.columns, self.judgements = columns, judgements
        self.readers, self.value = readers, value
        self.answers: dict[str, tuple[Place, str, str, Row]] = {}  # by the answer's name
        self.calls: defaultdict[tuple[str, str], list[Judgement]] = defaultdict(list)
        self.others: dict[str, list[Any]] = {}  # by judge that no reader reads: rows, the first

    def holds(self, row: Row, reader: ColumnReader, where: str) -> bool:
        """Whether a row holds a value of a judge."""
        name = self.judgements.names.get(reader.judge, reader.judge)
        return cell(row, self.judgements.judge, where).strip() == name

    def answer_of(self, row: Row, place: Place, where: str) -> Row | None:
        """The answer that a row judges, None if it is the first of its rows. Raises EmgridError if
        the rows of one answer differ in question, trigger or text."""
        name, text = self.named(row, where)
        if name not in self.answers:
            return None
        known_place, known_text, first, answer = self.answers[name]
        if (known_place, known_text) != (place, text):
            what = "text" if known_place == place else "question or trigger"
            raise EmgridError(
                f"{where}: {self.judgements.answer!r} holds {shown(name)} as {first} does, whose "
                f"{what} is another; name the column in `judgements.answer` that is unique to an "
                "answer"
            )
        return answer

    def begin(self, row: Row, place: Place, answer: Row, where: str) -> None:
        """Note an answer with its first row."""
        name, text = self.named(row, where)
        answer["imported"] = {}
        self.answers[name] = (place, text, where.rpartition(": ")[2], answer)

    def named(self, row: Row, where: str) -> tuple[str, str]:
        """The name of the answer that a row judges, and the answer's text."""
        name = cell(row, self.judgements.answer, where)
        if not name.strip():
            raise EmgridError(
                f"{where}: {self.judgements.answer!r} is empty; give it the answer's id"
            )
        return name, cell(row, self.columns.answer, where)

    def add(self, row: Row, where: str) -> None:
        """Take the value of a row."""
        name, _ = self.named(row, where)
        held = [reader for reader in self.readers if self.holds(row, reader, where)]
        for reader in held:
            value = self.value(row, reader, where)
            self.calls[name, reader.judge].append(Judgement(value["value"], value["reason"]))
        if not held:
            word = cell(row, self.judgements.judge, where).strip()
            self.others.setdefault(word, [0, where])[0] += 1

    def finish(self, notes: Notes) -> None:
        """Give each answer the values of its rows."""
        for name, (_, _, _, answer) in self.answers.items():
            for reader in self.readers:
                calls = self.calls[name, reader.judge]
                value = together(calls) if calls else Judgement(None, "not_judged")
                answer["imported"][reader.judge] = {"value": value.value, "reason": value.reason}
                if len(calls) > 1:
                    text = f"{reader.judge}: several values of an answer, averaged"
                    notes.add("log", text, f"answer {shown(name)}")
                elif not calls:
                    notes.add("unused", f"{reader.judge}: no row judges the answer", shown(name))
        for word, (rows, first) in self.others.items():
            text = f"left out, {self.judgements.judge} {word!r} is no judge of the panel"
            notes.counts["unused", text] = [rows, first]
