"""How long it takes from a clone until a training job can start, next to an older commit.

Each commit is cloned into a temporary folder, its `make .venv/.ready` is run, and what a training
job imports is imported for the first time. The two take turns. One set-up of each goes before and
is not counted: it fills the caches of pip and uv. uv is taken from PATH only where a user has it
there. Each set-up writes 2 GB, which are deleted after it. Let nothing else run on the machine.

    python benchmarks/setup.py --repeats 1
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import ROOT, write_manifest

READY = ".venv/.ready"
IMPORTED = ["torch", "transformers", "peft", "snakemake", "emgrid"]
NEW = "HEAD"
STEPS = ("clone", "make", "first import")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--against", default="5fa754f", help="an older commit")
    parser.add_argument("--python", default="python3.11", help="which both commits run on")
    parser.add_argument("--repeats", type=int, default=1, help="of which the median is taken")
    parser.add_argument("--repository", type=Path, help="this one by default")
    parser.add_argument("--imports", nargs="+", help=f"by default {' '.join(IMPORTED)}")
    return parser.parse_args(words)


def users_environment() -> dict[str, str]:
    """The variables of a shell in which no virtual environment is active."""
    own = Path(sys.executable).parent
    places = os.environ.get("PATH", "").split(os.pathsep)
    others = [place for place in places if Path(place) != own]
    left_out = ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"PATH": os.pathsep.join(others)}


def run(words: list[str], folder: Path) -> float:
    """The seconds of a command; ends this script if the command fails."""
    started = time.monotonic()
    done = subprocess.run(
        words, cwd=folder, env=users_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        sys.exit(f"setup.py: {' '.join(words)} in {folder} failed:\n{said}")
    return time.monotonic() - started


def set_up(options: argparse.Namespace, commit: str) -> dict[str, float]:
    """The seconds of each step from nothing until a training job can start."""
    repository = (options.repository or ROOT).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "emgrid"
        clone = ["git", "clone", "--quiet", "--no-checkout", str(repository), str(folder)]
        cloned = run(clone, Path(temporary))
        cloned += run(["git", "checkout", "--quiet", commit], folder)
        made = run(["make", READY, f"PYTHON={shutil.which(options.python)}"], folder)
        line = f"import {', '.join(options.imports or IMPORTED)}"
        imported = run([".venv/bin/python", "-c", line], folder)
    return dict(zip(STEPS, (cloned, made, imported), strict=True))


def commit_of(options: argparse.Namespace, name: str) -> str:
    """The full name of a commit, which a clone has as well."""
    words = ["git", "-C", str(options.repository or ROOT), "rev-parse", "--verify", "--quiet"]
    done = subprocess.run(
        [*words, f"{name}^{{commit}}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"setup.py: the repository has no commit {name}; name another: --against COMMIT")
    return done.stdout.strip()


def rows_of(found: dict[str, list[dict[str, float]]], old: str, new: str) -> list[dict[str, Any]]:
    """A row for each commit. found: the seconds of its steps, of every counted set-up."""
    seconds = {
        commit: median(sum(steps.values()) for steps in each) for commit, each in found.items()
    }
    rows = []
    for commit, what in ((old, old), (new, "this commit")):
        steps = (f"{name} {median(one[name] for one in found[commit]):.1f} s" for name in STEPS)
        rows.append(
            {"what": f"from a clone until a training can start, {what}", "unit": "s"}
            | {"value": seconds[commit], "ratio": seconds[commit] / seconds[old]}
            | {"of": f"time to that of {old}", "note": ", ".join(steps)}
        )
    return rows


def main() -> None:
    options = parse()
    if shutil.which(options.python) is None:
        sys.exit(f"setup.py: there is no {options.python}; name another Python: --python NAME")
    commits = {name: commit_of(options, name) for name in (options.against, NEW)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commits}
    for turn in range(options.repeats + 1):
        for name, commit in commits.items():
            steps = set_up(options, commit)
            kind = "counted" if turn else "not counted"
            print(f"{name}: {sum(steps.values()):.1f} s, {kind}", file=sys.stderr)
            if turn:
                found[name].append(steps)
    write_manifest("setup", options, rows_of(found, options.against, NEW))


if __name__ == "__main__":
    main()
