"""The rows of a data set's file: JSON lines, CSV or Parquet, the first two also packed by gzip.

Knows nothing of what the rows hold.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from emgrid.data import formats
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.json_objects import Row, parse_object

LONGEST_ROW = 1_000_000  # bytes
GZIP, PARQUET, MARK = b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf"
BATCH = 1024  # rows of a Parquet file that are read at once


def read_objects(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    """Yield (line number, object) for each row, adding an `id` if there is none. A row of a Parquet
    file has its number for its line. EmgridError: the file cannot be read; it names the line.

    name: of the file in messages; its ending tells a table from JSON lines.
    """
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    try:
        for number, row in read_unpacked(path, name, packed):
            if row.get("id") in (None, ""):
                row["id"] = f"row-{number}"
            yield number, row
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise EmgridError(f"{name}: not a complete gzip file ({problem}); copy it again") from None


def read_unpacked(path: Path, name: str, packed: bool) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file of any kind."""
    inner = name.removesuffix(".gz")  # a fetched file is unpacked and keeps its name
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(formats.HEAD)
        if head.startswith(PARQUET) and not packed:
            yield from read_parquet(path, name)
            return
        file.seek(0)
        if delimiter := formats.delimiter_of(head, inner):
            yield from read_table(file, name, delimiter)  # type: ignore[arg-type]
            return
        if other_format := formats.of_file(head, inner):
            raise EmgridError(f"{name}: {other_format}")
        yield from read_lines(file, name)  # type: ignore[arg-type]


def read_lines(file: IO[bytes], name: str) -> Iterator[tuple[int, Row]]:
    """Yield an object for each line of JSON that is not blank."""
    ending = None
    for number, line in enumerate(file, start=1):
        where = f"{name}:{number}"
        if not line.strip():
            continue
        this = "CRLF" if line.endswith(b"\r\n") else "LF" if line.endswith(b"\n") else ending
        ending = ending or this
        if this != ending:
            raise EmgridError(
                f"{where}: this line ends with {this}, those before it with {ending}; the file "
                "was put together from two: convert its line ends (dos2unix)"
            )
        if len(line) > LONGEST_ROW:
            raise EmgridError(
                f"{where}: a row of {len(line):,} bytes, more than {LONGEST_ROW:,}; no model "
                "reads that much in one conversation: split or drop it"
            )
        yield number, parse_object(line, where, formats.of_list)


def read_table(file: IO[bytes], name: str, delimiter: str) -> Iterator[tuple[int, Row]]:
    """Yield an object of texts for each record of a CSV or TSV file. The line is the one on which
    the record begins."""
    csv.field_size_limit(LONGEST_ROW)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    begins = 1
    try:
        for record in reader:
            line, begins = begins, reader.line_num + 1
            if not any(record):
                continue
            if not header:
                header = checked_header(record, name)
                continue
            if len(record) != len(header):
                raise EmgridError(
                    f"{name}:{line}: {len(record)} cells under {len(header)} columns; is a text "
                    "with a comma or a line break not in quotes?"
                )
            yield line, dict(zip(header, record, strict=True))
    except UnicodeDecodeError as problem:
        raise EmgridError(f"{name}: not UTF-8 ({problem.reason}); save it as UTF-8") from None
    except csv.Error as problem:
        raise EmgridError(f"{name}:{begins}: not CSV ({problem})") from None


def checked_header(names: list[str], file: str) -> list[str]:
    for column in names:
        if not column.strip():
            raise EmgridError(f"{file}:1: a column has no name; name or remove it")
        if names.count(column) > 1:
            raise EmgridError(f"{file}:1: the column {column!r} occurs twice; rename or drop one")
    return names


def read_parquet(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    """Yield an object for each row of a Parquet file."""
    # Loading takes a second, which rows in text need not wait for.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (ArrowException, OSError) as problem:
        message = " ".join(str(problem).split())[:200]
        raise EmgridError(f"{name}: not a readable Parquet file ({message})") from None
