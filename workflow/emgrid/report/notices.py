"""Notices at the top of the page: results that suggest a wrong input, and unused parts of inputs.

Reads the notes next to the answers of imported arms.
"""

from pathlib import Path
from typing import Any

from emgrid.aggregate.plausibility import misaligned_bases
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime import layout
from emgrid.runtime.files import read_json


def notices(results: Results, spec: ReportSpec, root: Path) -> dict[str, list[str]]:
    """Sentences of two kinds: `warnings`, and `unused` parts of inputs. root: the grid's folder."""
    notes = import_notes(spec, root)
    unused = [spec.unused] if spec.unused else []
    return {
        "warnings": misaligned_bases(results.rates, spec.metrics.behaviour) + notes["warning"],
        "unused": unused + notes["unused"],
    }


def import_notes(spec: ReportSpec, root: Path) -> dict[str, list[str]]:
    """Notes on imported files by level. A note that several files share is listed once."""
    files: dict[str, dict[str, list[str]]] = {"warning": {}, "unused": {}}
    for arm in spec.imports:
        path = root / arm.folder / layout.IMPORT_NOTES
        record: dict[str, Any] = read_json(path) if path.is_file() else {"notes": []}
        for note in record["notes"]:
            rows = (
                "" if note["rows"] is None else f" ({note['rows']:,} rows, first {note['first']})"
            )
            names = files[note["level"]].setdefault(f"{note['text']}{rows}", [])
            if record["file"] not in names:
                names.append(record["file"])
    return {
        level: [f"{', '.join(names)}: {text}." for text, names in texts.items()]
        for level, texts in files.items()
    }
