"""Does a grid that an earlier commit finished stay finished? python -m support.upgrade COMMIT

Checks the commit out into a temporary folder, runs a small grid on the embedded model with it, then
plans and runs the same grid with this checkout. Prints the jobs that ran again, and fails if a job
trained, drew, scored or judged, or if a table has other bytes.
"""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from emgrid import ROOT

from support.run import GridRun, small_config

COSTLY = {"model", "fetch", "dataset", "generate", "qualify", "mix", "preflight"}
COSTLY |= {"train", "sample", "sample_served", "likelihood", "judge"}


class EarlierGrid(GridRun):
    """A grid that another checkout runs."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        super().__init__(folder, small_config(), {"PYTHONPATH": str(checkout / "workflow")})
        self.checkout = checkout

    def command(self, *options: str, **changes: object) -> list[str]:
        python, *words = super().command(*options, **changes)  # type: ignore[arg-type]
        return [python, *(word.replace(str(ROOT), str(self.checkout)) for word in words)]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    commit = sys.argv[1]
    with TemporaryDirectory() as name:
        checkout, folder = Path(name) / "checkout", Path(name) / "grid"
        folder.mkdir()
        add = ["git", "worktree", "add", "--quiet", "--detach", str(checkout), commit]
        subprocess.run(add, cwd=ROOT, check=True)
        try:
            done = EarlierGrid(folder, checkout).cold()
            assert done.returncode == 0, done.stderr[-4000:]
        finally:
            remove = ["git", "worktree", "remove", "--force", str(checkout)]
            subprocess.run(remove, cwd=ROOT, check=True)
        grid = GridRun(folder, small_config())
        before = digests(grid.root / "tables")
        planned = grid.planned(grid.config)
        print(json.dumps(planned))
        done = grid.cold()
        assert done.returncode == 0, done.stderr[-4000:]
        left = grid.planned(grid.config)
        other = [name for name, sha in digests(grid.root / "tables").items() if sha != before[name]]
    print(f"{sum(Counter(planned).values())} jobs; tables with other bytes: {other or 'none'}")
    if COSTLY & planned.keys() or other or left:
        sys.exit(f"{commit} does not stay finished: {COSTLY & planned.keys()}, {other}, {left}")


if __name__ == "__main__":
    main()
