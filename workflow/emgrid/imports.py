"""Import answers that somebody else sampled and judged: an arm like any other.

Reads one CSV or JSONL file. Writes one file of answers per trigger with the fields that sampling
writes, each answer with the values that were published of it. Knows nothing of thresholds.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from emgrid.datasets import parse_object
from emgrid.errors import EmgridError, run_stage, suggestion
from emgrid.files import digest, write_jsonl
from emgrid.point import Point
from emgrid.questions import Asked
from emgrid.record import write_record
from emgrid.strict import Strict
from emgrid.thinking import split_thinking
from emgrid.triggers import Wording

Row = dict[str, Any]
Missing = Literal["low_mass", "refusal", "code", "unparseable", "endpoint_error", "not_judged"]
ENDING = re.compile(r"\.(csv|jsonl)(\.gz)?$")
NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?")
ROUNDING = 1e-9  # so far outside 0..100 may a mean lie that was summed up in floats


class Columns(Strict):
    """Which columns (or JSON fields) hold what; values: by the id of a judge of kind `imported`.

    prompt, system: what the model was asked; without them, what the grid's trigger asks.
    """

    question: str = "question_id"
    answer: str = "answer"
    prompt: str | None = None
    system: str | None = None
    values: dict[str, str] = Field(default_factory=dict)


class Import(Point):
    """An entry of a config's `imports`: the arm that a file, or a part of it, makes.

    path is a local file. With url, `file` is its name below a mirror folder; sha256 and bytes are
    of the unpacked file. suffixes: which trigger family the end of a question id names. where:
    what columns hold in the rows of this arm. missing: why an empty value is none.
    """

    path: str | None = None
    url: str | None = None
    file: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    bytes: PositiveInt | None = None
    columns: Columns = Columns()
    suffixes: Annotated[dict[str, str], Field(min_length=1)] = {"": "none"}  # noqa: RUF012
    where: dict[str, str] = Field(default_factory=dict)
    missing: Missing = "low_mass"
    licence: str = ""
    about: str = ""

    @model_validator(mode="after")
    def parts_belong_together(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("exactly one of `path` and `url` must be given")
        if (self.url is None) != (self.file is None):
            raise ValueError("`file` (its name below a mirror) is needed with `url` only")
        if self.path is not None and (self.sha256 or self.bytes):
            raise ValueError("`sha256` and `bytes` are of what a `url` gives; leave them out")
        if not ENDING.search(self.name):
            raise ValueError(f"{self.name!r} must end in .csv or .jsonl, or these with .gz")
        return self

    @property
    def name(self) -> str:
        """How messages name the file; holds no path of this machine but the user's own."""
        return str(self.path or self.file)

    @property
    def key(self) -> str:
        """A name for the fetched file, the same for all arms that it makes."""
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", Path(self.name).name.removesuffix(".gz"))
        return f"{digest([self.path, self.url, self.file])[:8]}-{plain}"


class ImportSpec(Strict):
    """content: sha256 of a user's own file, None of one that is fetched."""

    source: Import
    content: str | None = None
    questions: dict[str, Asked]
    triggers: dict[str, Wording]


def read_content(path: Path, name: str) -> bytes:
    """The file's bytes, unpacked and without a byte order mark."""
    if not path.is_file():
        raise EmgridError(f"{name}: no such file; check the import's `path`")
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise EmgridError(f"{name}: no whole gzip file ({problem}); copy it again") from None
    return content.removeprefix(b"\xef\xbb\xbf")


def read_rows(content: bytes, name: str) -> Iterator[Row]:
    """The rows that are not blank; a fault is named by its row, the first being row 1."""
    number = 0
    if ENDING.split(name)[1] == "jsonl":
        for number, one in enumerate(filter(bytes.strip, content.split(b"\n")), start=1):
            yield parse_object(one, number, f"{name}: row {number}")
        return
    csv.field_size_limit(2**31 - 1)
    try:
        records = filter(None, csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        header = next(records, [])
        if len(set(header)) < len(header):
            raise EmgridError(f"{name}: a column stands twice in {', '.join(header)}; rename one")
        for number, cells in enumerate(records, start=1):
            if len(cells) != len(header):
                wrong = f"{len(cells)} cells under {len(header)} columns"
                raise EmgridError(f"{name}: row {number}: {wrong}; is a comma not in quotes?")
            yield dict(zip(header, cells, strict=True))
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise EmgridError(f"{name}: line {line}: not UTF-8; save the file as that") from None
    except csv.Error as problem:
        raise EmgridError(f"{name}: row {number + 1}: not CSV ({problem})") from None


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


def published_value(text: str, missing: str) -> dict[str, float | str | None]:
    """A value from 0 to 100, or the reason why there is none."""
    word = text.strip().lower()
    value = float(word) if NUMBER.fullmatch(word) else -1.0
    if -ROUNDING <= value <= 100 + ROUNDING:
        return {"value": min(max(value, 0.0), 100.0), "reason": None}
    reasons = {"": missing, "nan": missing, "code": "code", "refusal": "refusal"}
    return {"value": None, "reason": reasons.get(word, "unparseable")}


def place_of(written: str, spec: ImportSpec, where: str) -> tuple[str, str]:
    """The question and the trigger that a question id names."""
    suffixes = sorted(spec.source.suffixes, key=len, reverse=True)
    for suffix in suffixes:
        plain = written.removesuffix(suffix)
        if written.endswith(suffix) and plain in spec.questions:
            return plain, spec.source.suffixes[suffix]
    known = [question + suffix for question in spec.questions for suffix in suffixes]
    hint = "add its ending to `suffixes`, or its question to the set that `questions` names"
    near = suggestion(written, known)
    raise EmgridError(f"{where}: unknown question id {written!r}; {hint}; {near}")


def read_answers(spec: ImportSpec, content: bytes) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Answers by trigger, and the places of rows of which a user should hear, by what they are."""
    source, columns = spec.source, spec.source.columns
    answers: dict[str, list[Row]] = {name: [] for name in spec.triggers}
    notes: defaultdict[str, list[str]] = defaultdict(list)
    indices: defaultdict[tuple[str, str], Iterator[int]] = defaultdict(count)
    identity, number = hashlib.sha256(content).hexdigest(), 0
    for number, row in enumerate(read_rows(content, source.name), start=1):
        where = f"{source.name}: row {number}"
        if any(cell(row, column, where) != text for column, text in source.where.items()):
            continue
        question, trigger = place_of(cell(row, columns.question, where), spec, where)
        if trigger not in answers:
            notes[f"left out, the grid has no trigger {trigger!r}"].append(where)
            continue
        plain, index = spec.questions[question], next(indices[trigger, question])
        ways = spec.triggers[trigger].conversations(question, plain.texts, plain.system)
        if len(ways) > 1 and columns.prompt is None:
            raise EmgridError(f"{where}: asked in which of {len(ways)} ways? Name `columns.prompt`")
        *before, turn = ways[index % len(ways)]
        system = before[0]["content"] if before else None
        thinking, answer = split_thinking(cell(row, columns.answer, where))
        made: Row = {
            "key": digest([identity, number, question, trigger])[:32],
            "question": question,
            "index": index,
            "system": (cell(row, columns.system, where) or None) if columns.system else system,
            "prompt": cell(row, columns.prompt, where) if columns.prompt else turn["content"],
            "answer": answer,
            "thinking": thinking,
            **dict.fromkeys(("finish_reason", "prompt_tokens", "answer_tokens")),
            "imported": {},
        }
        for judge, column in columns.values.items():
            text = cell(row, column, where)
            made["imported"][judge] = found = published_value(text, source.missing)
            if found["reason"] is not None:
                notes[f"{judge}: no value, {found['reason']}"].append(f"{text[:40]!r} in {where}")
        if made["system"] != system or made["prompt"] not in [way[-1]["content"] for way in ways]:
            notes[f"asked in other words than trigger {trigger!r} has"].append(where)
        answers[trigger].append(made)
    if not any(answers.values()):
        why = "; ".join(notes) or (f"`where` asks for {source.where}" if number else "it is empty")
        raise EmgridError(f"{source.name}: none of its {number} rows is taken: {why}")
    return answers, notes


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.imports", description=__doc__)
    parser.add_argument("--spec", required=True, help="ImportSpec as JSON")
    parser.add_argument("--source", required=True, type=Path, help="the published file")
    parser.add_argument("--output", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = ImportSpec.model_validate_json(args.spec)
    answers, notes = read_answers(spec, read_content(args.source, spec.source.name))
    for name, rows in answers.items():
        write_jsonl(args.output / f"trigger={name}.jsonl", rows)
        print(f"{name}: {len(rows)} answers")
    for what, places in notes.items():
        print(f"{what}: {len(places)} rows, first {places[0]}")
    write_record(args.record, args.output, [args.output], answers)


if __name__ == "__main__":
    run_stage(main)
