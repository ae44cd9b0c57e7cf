"""Bundle the Inspect logs of a grid with Inspect's viewer, as a folder for any static web server.

Reads inspect/. The folder is replaced as a whole.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from emgrid.runtime import layout
from emgrid.runtime.job import run_job
from emgrid.runtime.optional_packages import need


def bundle(logs: Path, folder: Path) -> int:
    """Write viewer and logs into a new folder; return the size in bytes."""
    # Only here: it takes seconds to import, and is optional.
    from inspect_ai.log import bundle_log_dir

    bundle_log_dir(str(logs), str(folder))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.inspect_bundle", description=__doc__)
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    need("inspect_ai", "inspect")
    output = args.root / layout.INSPECT_BUNDLE
    with tempfile.TemporaryDirectory(prefix=".bundle.", dir=args.root) as draft_folder:
        draft = Path(draft_folder) / "bundle"
        size = bundle(args.root / layout.INSPECT, draft)
        shutil.rmtree(output, ignore_errors=True)
        draft.rename(output)
    print(f"{output}: {size / 1e6:.0f} MB; serve the folder, such as by python -m http.server")


if __name__ == "__main__":
    run_job(main)
