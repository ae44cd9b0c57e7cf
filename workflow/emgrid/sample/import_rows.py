"""Turn rows of an imported file into answers, and what users should know about them into notes.

Knows nothing of file formats.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count

from emgrid.config.imports import ImportSpec
from emgrid.config.turns import Conversation, parts
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import digest
from emgrid.runtime.thinking import split_thinking
from emgrid.sample.import_columns import Row, UnreadColumns, as_text, cell, shown, trimmed
from emgrid.sample.import_judgements import Calls
from emgrid.sample.import_log import ABOUT_ANSWER, ENDINGS, SCORE, TURNS, Log
from emgrid.sample.import_notes import LackingQuestions, Note, Notes
from emgrid.sample.import_values import ColumnReader, reader_of


def place_of(row: Row, spec: ImportSpec, where: str) -> tuple[str, str | None] | None:
    """The question and the trigger that a row names. The trigger is None if its rows are
    left out. None: the set lacks the question, and such rows are skipped."""
    source = spec.source
    question_id = cell(row, source.columns.question, where)
    suffixes = sorted(source.suffixes, key=len, reverse=True)
    for suffix in suffixes:
        plain = question_id.removesuffix(suffix)
        if question_id.endswith(suffix) and plain in spec.questions:
            trigger = source.suffixes[suffix]
            return plain, condition_of(row, spec, where) if source.columns.trigger else trigger
    if source.other_questions == "skip":
        return None
    ids = [question + suffix for question in spec.questions for suffix in suffixes]
    hint = "add its ending to `suffixes`, or its question to the set that `questions` names"
    if source.columns.trigger:
        hint = "add its question to the set that `questions` names"
    near = suggestion(question_id, ids)
    raise EmgridError(
        f"{where}: unknown question id {question_id!r}; {hint}, or set `other_questions: skip`; "
        f"{near}"
    )


def condition_of(row: Row, spec: ImportSpec, where: str) -> str | None:
    """The trigger of a row, by the value in `columns.trigger`; None to leave the row out. Without
    `triggers` the value is the trigger's name."""
    column, triggers = str(spec.source.columns.trigger), spec.source.triggers
    word = cell(row, column, where)
    if not triggers:
        return word
    if word not in triggers:
        raise EmgridError(
            f"{where}: {column!r} holds {word!r}, which `triggers` does not name; add it there "
            "with its trigger family, or with null to leave its rows out"
        )
    return triggers[word]


def other_words(
    row_prompts: tuple[str | None, str], system: str | None, prompts: Sequence[str], trigger: str
) -> str | None:
    """How a row's system prompt and user turn differ from its trigger's; None if they do not.

    Line ends and white space at the ends do not count, because tables and YAML change them.
    """
    row_system, turn = trimmed(row_prompts[0] or ""), trimmed(row_prompts[1])
    if row_system != trimmed(system or "") and row_system:
        return (
            f"under the system prompt {shown(row_system)}, which trigger {trigger!r} does not have"
        )
    if row_system != trimmed(system or ""):
        return f"without a system prompt, but trigger {trigger!r} has {shown(str(system))}"
    if turn not in map(trimmed, prompts):
        shown_turn, shown_prompt = from_difference(turn, trimmed(prompts[0]))
        return f"{shown(shown_turn)}, but trigger {trigger!r} asks {shown(shown_prompt)}"
    return None


def other_turns(
    turns: Sequence[Row], prompt: str, wordings: Sequence[tuple[list[Row], str]], trigger: str
) -> str | None:
    """How the turns before a row's question differ from those of its wording; None if they do not.

    prompt: the row's. wordings: turns and user turn of each wording of the question.
    """
    said = spoken_by(turns)
    fitting = [before for before, asked in wordings if trimmed(asked) == trimmed(prompt)]
    expected = [spoken_by(before) for before in fitting or [before for before, _ in wordings]]
    if said in expected:
        return None
    row, other = len(said), len(expected[0])
    if row != other:
        return f"after {row or 'no'} turns, but trigger {trigger!r} asks after {other or 'none'}"
    (role, text), (_, wanted) = next(
        pair for pair in zip(said, expected[0], strict=True) if pair[0] != pair[1]
    )
    text, wanted = from_difference(text, wanted)
    return f"after the {role} turn {shown(text)}, but trigger {trigger!r} has {shown(wanted)}"


def spoken_by(turns: Sequence[Row]) -> list[tuple[str, str]]:
    """Role and text of each turn, without the white space that tables and YAML change."""
    return [(turn["role"], trimmed(turn["content"])) for turn in turns]


def from_difference(first: str, second: str) -> tuple[str, str]:
    """Two texts, cut to start shortly before their first difference."""
    pairs = enumerate(zip(first, second, strict=False))
    common = next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
    start = common - 20 if common > 40 else 0
    mark = "…" if start else ""
    return f"{mark}{first[start:]}", f"{mark}{second[start:]}"


class Reading:
    """One pass over the rows of a file."""

    def __init__(self, spec: ImportSpec, content: bytes) -> None:
        self.spec, self.source, self.columns = spec, spec.source, spec.source.read_columns
        self.identity = hashlib.sha256(content).hexdigest()
        self.answers: dict[str, list[Row]] = {name: [] for name in spec.triggers}
        self.notes = Notes()
        self.unfinished: str | None = None
        self.refused: dict[int, str] = {}
        self.indices: defaultdict[tuple[str, str], Iterator[int]] = defaultdict(count)
        self.readers: list[ColumnReader] = [
            reader_of(judge, values, self.source.missing)
            for judge, values in self.columns.values.items()
        ]
        self.lacking = LackingQuestions()
        judgements = self.source.judgements
        self.calls = (
            Calls(judgements, self.readers, self.columns, self.value) if judgements else None
        )
        read = self.source.read | (set(ABOUT_ANSWER) if self.source.is_log else set())
        self.unread = UnreadColumns(read, self.source.ignore, self.source.name)

    def note_log(self, log: Log) -> None:
        """Note what a log lacks, what of it cannot be read, and which columns are scores."""
        self.refused = log.refused
        for where in log.failed:
            self.notes.add("unused", "left out, the sample failed or was invalidated", where)
        self.unfinished = log.unfinished
        # Scores differ between rows, and are no conditions.
        columns = {column for _, row in log.rows for column in row}
        self.unread.read |= {column for column in columns if column.startswith(SCORE)}

    def take(self, number: int, row: Row) -> None:
        """Import a row as an answer if it belongs to this arm and to a trigger of the grid."""
        source, where = self.source, f"{self.source.name}: row {number}"
        for reader in self.readers:
            if self.calls is None or self.calls.holds(row, reader, where):
                reader.see(as_text(row.get(reader.values.column)))
        if any(cell(row, column, where) != text for column, text in source.where.items()):
            return
        place = place_of(row, self.spec, where)
        if place is None:
            self.lacking.add(cell(row, self.columns.question, where), where)
            return
        question, trigger = place
        if trigger is None:
            word = cell(row, str(self.columns.trigger), where)
            self.notes.add("unused", f"left out, {self.columns.trigger} {word!r}", where)
            return
        if trigger not in self.answers:
            self.notes.add("unused", f"left out, the grid has no trigger {trigger!r}", where)
            return
        if self.calls is not None:
            answer = self.calls.answer_of(row, (question, trigger), where)
            if answer is None:
                answer = self.answer(row, number, question, trigger, where)
                self.answers[trigger].append(answer)
                self.calls.begin(row, (question, trigger), answer, where)
            self.calls.add(row, where)
        else:
            answer = self.answer(row, number, question, trigger, where)
            answer["imported"] = {each.judge: self.value(row, each, where) for each in self.readers}
            self.answers[trigger].append(answer)
        self.unread.see(row, answer, trigger, where)

    def answer(self, row: Row, number: int, question: str, trigger: str, where: str) -> Row:
        """A row in the format of sampled answers, with its published values."""
        if number in self.refused:
            raise EmgridError(f"{where}: {self.refused[number]}")
        columns, question_texts = self.columns, self.spec.questions[question]
        index = next(self.indices[trigger, question])
        wordings = question_texts.conversations(question, self.spec.triggers[trigger])
        if len(wordings) > 1 and columns.prompt is None:
            raise EmgridError(
                f"{where}: its question has {len(wordings)} wordings under this trigger; name the "
                "column of the prompt in `columns.prompt`"
            )
        thinking, answer = split_thinking(cell(row, columns.answer, where))
        return {
            "key": digest([self.identity, number, question, trigger])[:32],
            "question": question,
            "index": index,
            **self.asked(row, wordings, index, trigger, where),
            "answer": answer,
            "thinking": thinking,
            **{name: row.get(name) if self.source.is_log else None for name in ENDINGS},
        }

    def asked(
        self, row: Row, wordings: list[Conversation], index: int, trigger: str, where: str
    ) -> Row:
        """What a row says of how its answer was asked for: by its columns, or else as the grid
        asks. A difference between them is refused or noted."""
        columns = self.columns
        system, turns, prompt, begins = parts(wordings[index % len(wordings)])
        row_system = cell(row, columns.system, where) if columns.system else system
        prompts_of_row = (
            row_system if row_system is not None and as_text(row_system) else None,
            cell(row, columns.prompt, where) if columns.prompt else prompt,
        )
        every = [parts(wording)[1:3] for wording in wordings]
        difference = other_words(prompts_of_row, system, [text for _, text in every], trigger)
        if self.source.is_log:
            turns = row[TURNS]
            difference = difference or other_turns(turns, prompts_of_row[1], every, trigger)
            if begins and not difference:
                difference = f"without {shown(begins)}, with which the question begins the answer"
        if difference:
            self.differs(difference, trigger, where)
        fields = {"system": prompts_of_row[0], "prompt": prompts_of_row[1]}
        return fields | ({"turns": turns} if turns else {})

    def differs(self, difference: str, trigger: str, where: str) -> None:
        """Refuse or note a row whose prompt differs from its trigger's."""
        if self.source.other_wording == "refuse":
            raise EmgridError(
                f"{where}: asked {difference}; name the trigger that it was asked under "
                "(`columns.trigger` or `suffixes`), leave the row out by `where`, or set "
                "`other_wording: allow`"
            )
        self.notes.add("warning", f"the prompt differs from trigger {trigger!r}", where)

    def value(self, row: Row, reader: ColumnReader, where: str) -> dict[str, float | str | None]:
        text = cell(row, reader.values.column, where)
        value = reader.read(text, where)
        if value["reason"] is not None:
            note = f"{reader.judge}: no value, {value['reason']}"
            self.notes.add("log", note, f"{text[:40]!r} in {where}")
        return value

    def finish(self, number: int) -> None:
        """Check the whole file. number: the number of its rows."""
        if not any(self.answers.values()):
            left_out = [*self.notes.listed(), *self.lacking.listed()]
            reasons = "; ".join(note.text for note in left_out)
            reasons = reasons or (
                f"`where` asks for {self.source.where}" if number else "it is empty"
            )
            raise EmgridError(f"{self.source.name}: none of its {number} rows is taken: {reasons}")
        if self.calls is not None:
            self.calls.finish(self.notes)
        for reader in self.readers:
            reader.check(self.source.name)
        self.unread.check()

    def listed(self) -> list[Note]:
        """All notes, including those on columns."""
        notes = [*self.notes.listed(), *self.lacking.listed()]
        if self.unfinished:
            text = f"the log's run did not succeed ({self.unfinished}); answers may be missing"
            notes.append(Note("warning", text))
        doubts = (reader.doubt() for reader in self.readers)
        notes += [Note("warning", sentence) for sentence in doubts if sentence]
        notes += [Note("warning", sentence) for sentence in self.unread.warnings()]
        if rest := self.unread.rest():
            notes.append(Note("unused", f"columns that are not read: {', '.join(rest)}"))
        return notes
