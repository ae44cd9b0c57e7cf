"""The record of a sample of answers that `emgrid labels` draws, next to the sheet that it writes.

The sheet is blind; its record says which answers of the grid were drawn, and with what probability.
The record of `mine.csv`, and of labellers' copies such as `mine.anna.csv`, is `mine.sample.csv`.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, users_path

ENDING = ".sample.csv"
PLACE = ["base", "intervention", "ratio", "trigger", "seed", "question", "index"]
# sample: name of the draw, which the sheet has too. key: the row of the sheet. text: digest of the
# answer as the grid has it. probability: of being drawn, in its stratum of its cell.
COLUMNS = ["sample", "key", "text", *PLACE, "stratum", "probability"]


def record_path(sheet: Path) -> Path:
    """Where the record of a new sheet is written."""
    return sheet.with_name(stem_of(sheet) + ENDING)


def stem_of(sheet: Path) -> str:
    return sheet.name.removesuffix(".gz").removesuffix(".csv")


def find_record(sheet: Path) -> Path | None:
    """The record of a sheet or of a labeller's copy of it; None if there is none."""
    stem = stem_of(sheet)
    names = dict.fromkeys((stem, stem.rpartition(".")[0]))
    paths = (sheet.with_name(name + ENDING) for name in names if name)
    return next((path for path in paths if path.is_file()), None)


def find_records(files: Iterable[str]) -> list[str]:
    """The records of these labelled files, each once, named as the user would."""
    found: dict[str, None] = {}
    for file in files:
        path = find_record(users_path(file))
        if path is not None:
            found[str(Path(file).with_name(path.name))] = None
    return list(found)


def copy_of(sheet: Path, labeller: str) -> Path:
    """A labeller's own copy of a sheet."""
    return sheet.with_name(f"{stem_of(sheet)}.{labeller}.csv")


def text_key(answer: str) -> str:
    """The digest by which a drawn answer is recognised."""
    return digest(answer)[:16]


def read_record(path: Path) -> pd.DataFrame:
    """The drawn answers, one row each."""
    texts = dict.fromkeys(("sample", "key", "text", *PLACE, "stratum"), str)
    try:
        table = pd.read_csv(path, dtype=texts, keep_default_na=False)
        table = table.astype({"seed": int, "index": int, "probability": float})[COLUMNS]
    except (OSError, ValueError, KeyError) as problem:
        what = str(problem).splitlines()[0]
        raise EmgridError(f"{path}: not a record of `emgrid labels` ({what})") from None
    if table.empty or not table["probability"].between(0, 1, inclusive="right").all():
        raise EmgridError(f"{path}: probabilities must be above 0 and at most 1; was it edited?")
    return table
