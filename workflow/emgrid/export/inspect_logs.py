"""Write the judged answers as Inspect logs, one file per arm and trigger.

    inspect view --log-dir results/<grid>/inspect

Reads tables/answers.parquet and arms.csv, and the provenance of each arm's answers. The folder is
replaced as a whole. Equal tables give equal files.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from emgrid.export.cells import read_cells
from emgrid.export.spec import InspectSpec
from emgrid.runtime.job import run_job
from emgrid.runtime.optional_packages import need


def write_logs(root: Path, spec: InspectSpec, folder: Path) -> int:
    """Write all logs into a new folder; return the number of answers."""
    from emgrid.export.eval_log import write

    folder.mkdir()
    count = 0
    for cell in read_cells(root, spec.metrics):
        name = ".".join(f"{key}={value}" for key, value in cell.point.items())
        write(cell, spec, folder / f"{name}.eval")
        count += len(cell.answers)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.inspect_logs", description=__doc__)
    parser.add_argument("--spec", required=True, help="InspectSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    need("inspect_ai", "inspect")
    spec = InspectSpec.model_validate_json(args.spec)
    output = args.root / "inspect"
    with tempfile.TemporaryDirectory(prefix=".inspect.", dir=args.root) as draft_folder:
        draft = Path(draft_folder) / "inspect"
        count = write_logs(args.root, spec, draft)
        shutil.rmtree(output, ignore_errors=True)
        draft.rename(output)
    print(f"{count} answers; inspect view --log-dir {output}")


if __name__ == "__main__":
    run_job(main)
