"""Notices at the top of the page: results that point to a wrong input, and parts of the inputs that
the grid does not use.

Reads the notes beside the answers of imported arms.
"""

from pathlib import Path
from typing import Any

from emgrid.aggregate.plausibility import misaligned_bases
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime import layout
from emgrid.runtime.files import read_json


def notices(results: Results, spec: ReportSpec, root: Path) -> dict[str, list[str]]:
    """Sentences: `warnings`, and what is `unused`. root: the grid's folder."""
    noted = import_notes(spec, root)
    unused = [spec.unused] if spec.unused else []
    return {
        "warnings": misaligned_bases(results.rates) + noted["warning"],
        "unused": unused + noted["unused"],
    }


def import_notes(spec: ReportSpec, root: Path) -> dict[str, list[str]]:
    """The notes on imported files by their level; equal notes on several files are listed once."""
    files: dict[str, dict[str, list[str]]] = {"warning": {}, "unused": {}}
    for one in spec.imports:
        path = root / one.folder / layout.IMPORT_NOTES
        noted: dict[str, Any] = read_json(path) if path.is_file() else {"notes": []}
        for note in noted["notes"]:
            rows = (
                "" if note["rows"] is None else f" ({note['rows']:,} rows, first {note['first']})"
            )
            named = files[note["level"]].setdefault(f"{note['text']}{rows}", [])
            if noted["file"] not in named:
                named.append(noted["file"])
    return {
        level: [f"{', '.join(names)}: {text}." for text, names in found.items()]
        for level, found in files.items()
    }
