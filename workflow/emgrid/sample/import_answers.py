"""Import answers that somebody else sampled and judged as an arm.

Reads one CSV or JSONL file, or one Inspect log. Writes one file of answers per trigger, with the
same fields as sampled answers plus the published values, and notes for the report on rows and
columns that were left out or not read. Knows nothing of thresholds.
"""

import argparse
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from emgrid.config.imports import ENDING, ImportSpec
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_json, write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import parse_object
from emgrid.runtime.manifest import write_manifest
from emgrid.sample.import_columns import Row
from emgrid.sample.import_log import read_log
from emgrid.sample.import_notes import Note
from emgrid.sample.import_rows import Reading


def read_content(path: Path, name: str) -> bytes:
    """The file's bytes, decompressed and without a byte order mark."""
    if not path.is_file():
        raise EmgridError(f"{name}: no such file; check the import's `path`")
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise EmgridError(f"{name}: incomplete gzip file ({problem}); copy it again") from None
    return content.removeprefix(b"\xef\xbb\xbf")


def read_rows(content: bytes, name: str) -> Iterator[Row]:
    """Yield the rows that are not blank. Errors name the row, counted from 1."""
    number = 0
    if ENDING.split(name)[1] == "jsonl":
        for number, line in enumerate(filter(bytes.strip, content.split(b"\n")), start=1):
            yield parse_object(line, f"{name}: row {number}")
        return
    csv.field_size_limit(2**31 - 1)
    try:
        records = filter(None, csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        header = next(records, [])
        if len(set(header)) < len(header):
            raise EmgridError(f"{name}: a column occurs twice in {', '.join(header)}; rename one")
        for number, cells in enumerate(records, start=1):
            if len(cells) != len(header):
                mismatch = f"{len(cells)} cells under {len(header)} columns"
                raise EmgridError(f"{name}: row {number}: {mismatch}; is a comma not in quotes?")
            yield dict(zip(header, cells, strict=True))
    except UnicodeDecodeError as problem:
        line_number = content.count(b"\n", 0, problem.start) + 1
        raise EmgridError(
            f"{name}: line {line_number}: not UTF-8; save the file as UTF-8"
        ) from None
    except csv.Error as problem:
        raise EmgridError(f"{name}: row {number + 1}: not CSV ({problem})") from None


def read_answers(spec: ImportSpec, content: bytes) -> tuple[dict[str, list[Row]], list[Note]]:
    """Answers by trigger, and the notes on the file."""
    reading, number = Reading(spec, content), 0
    if spec.source.is_log:
        log = read_log(content, spec.source.name)
        rows: Iterable[tuple[int, Row]] = log.rows
        reading.note_log(log)
    else:
        rows = enumerate(read_rows(content, spec.source.name), start=1)
    for number, row in rows:
        reading.take(number, row)
    reading.finish(number)
    return reading.answers, reading.listed()


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.import_answers", description=__doc__)
    parser.add_argument("--spec", required=True, help="ImportSpec as JSON")
    parser.add_argument("--source", required=True, type=Path, help="the published file")
    parser.add_argument("--output", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = ImportSpec.model_validate_json(args.spec)
    answers, notes = read_answers(spec, read_content(args.source, spec.source.name))
    for name, rows in answers.items():
        write_jsonl(args.output / layout.trigger_file(name), rows)
        print(f"{name}: {len(rows)} answers")
    for note in notes:
        print(note.line())
    reported = [asdict(note) for note in notes if note.level != "log"]
    write_json(
        args.output.with_name(layout.IMPORT_NOTES), {"file": spec.source.name, "notes": reported}
    )
    write_manifest(args.record, args.output, [args.output], answers)


if __name__ == "__main__":
    run_job(main)
