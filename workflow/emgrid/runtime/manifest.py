"""The manifest of a job that writes many files: the only output of theirs that Snakemake tracks.

Snakemake stores a job's metadata once per output, and hashes all inputs for each: too slow for a
job of a hundred arms under thirty triggers (measured in benchmarks/README.md).
"""

from collections.abc import Iterable
from pathlib import Path

from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, write_json


def write_manifest(
    path: Path, root: Path, folders: Iterable[Path], triggers: Iterable[str]
) -> None:
    """Write the hashes of the triggers' files in the folders. Files of other triggers are deleted;
    their rows stay in the store."""
    names = {layout.trigger_file(trigger) for trigger in triggers}
    hashes = {}
    for folder in folders:
        for file in sorted(folder.glob(layout.trigger_file("*"))):
            if file.name in names:
                hashes[str(file.relative_to(root))] = file_digest(file)
            else:
                file.unlink()
    write_json(path, {"files": hashes})
