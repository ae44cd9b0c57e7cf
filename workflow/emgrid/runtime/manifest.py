"""The record of a job that writes many files: the one output that Snakemake watches in their place.

Snakemake keeps what it knows of a job once for each of its outputs, and hashes all inputs for each:
too much for a job of a hundred arms under thirty triggers. benchmarks/README.md has what it costs.
"""

from collections.abc import Iterable
from pathlib import Path

from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, write_json


def write_record(path: Path, root: Path, folders: Iterable[Path], triggers: Iterable[str]) -> None:
    """Name the files of the triggers in the folders, with their hashes: equal files give an equal
    record. Files of triggers that are no longer asked under are removed; their rows are kept."""
    names = {layout.trigger_file(trigger) for trigger in triggers}
    found = {}
    for folder in folders:
        for file in sorted(folder.glob(layout.trigger_file("*"))):
            if file.name in names:
                found[str(file.relative_to(root))] = file_digest(file)
            else:
                file.unlink()
    write_json(path, {"files": found})
