"""One run of a grid at a time, in the grid's own folder, and one job at a time for each output.

Snakemake works inside `results/<grid>/`, so that what it records of the outputs (`.snakemake`) lies
beside them under relative names: the folder can be renamed, moved or copied as a whole, and nothing
runs again. Its lock of files outlives a kill; here an advisory lock of the operating system says
whether a run is alive, and ends with the process that holds it.
"""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError

LOCK = ".running"
RECORDS = Path(".snakemake/metadata")
held: list[int] = []


def enter(folder: Path, main: bool) -> None:
    """Make a grid's folder the working directory. main: in the process that a user started."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    except OSError as problem:
        raise EmgridError(f"{folder}: cannot be written ({problem.strerror})") from None
    os.chdir(folder)
    if main:
        refuse_unrecorded(folder)
        shutil.rmtree(".snakemake/locks", ignore_errors=True)


def refuse_unrecorded(folder: Path) -> None:
    """Outputs of which nobody knows what they were made of would pass for up to date."""
    if not RECORDS.is_dir() and any(Path(part).exists() for part in ("stages", "jobs", "tables")):
        raise EmgridError(
            f"{folder}: holds results, but not the folder .snakemake that says what they were made "
            "of; copy it too, or delete all but `rows/`, from which nothing is computed again"
        )


def hold(folder: str) -> None:
    """Be the one run of the grid whose folder this process is in, until it ends."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        take(lock)
    except BlockingIOError:
        raise EmgridError(f"{folder}: {holder()}; wait until it has ended, or stop it") from None
    os.ftruncate(lock, 0)
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.write(lock, json.dumps(about).encode())
    held.append(lock)
    clear_drafts()


def take_turn(output: Path) -> None:
    """Be the only job that writes this output, until the process ends. A job on another machine
    may outlive its Snakemake; one that is started again then waits, and finds what was kept."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(output.with_name(f".{output.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting: another job still writes {output}", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    held.append(lock)


def clear_drafts() -> None:
    """Remove what killed jobs had begun to write beside their outputs; no job runs now."""
    for folder, inner, files in os.walk("."):
        inner[:] = [name for name in inner if name != ".snakemake"]
        for name in files:
            if name.startswith(".") and ".partial" in name:
                Path(folder, name).unlink(missing_ok=True)


def take(lock: int) -> None:
    """Lock a file; a second try, as `emgrid status` holds it while it looks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.5)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def current(folder: Path) -> dict[str, Any] | None:
    """Who runs the grid now: `pid`, `host`, `started`; empty where that is not known, None where
    nobody does."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return last(folder) or {}
    finally:
        os.close(lock)


def last(folder: Path) -> dict[str, Any] | None:
    """Who ran the grid last, None where nobody did."""
    try:
        about: dict[str, Any] = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return about
    except (OSError, ValueError):
        return None


@contextmanager
def kept_from_running(folder: Path) -> Iterator[None]:
    """Let nobody run the grid in a folder meanwhile; EmgridError where somebody does."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        take(lock)
        yield
    except BlockingIOError:
        about = current(folder) or {}
        who = f"process {about.get('pid')} on {about.get('host')}"
        raise EmgridError(f"{folder}: is being run by {who}; wait until it has ended") from None
    finally:
        os.close(lock)


def holder() -> str:
    """Who runs the grid, in words."""
    try:
        about = json.loads(Path(LOCK).read_text(encoding="utf-8"))
        return (
            f"already being run by process {about['pid']} on {about['host']} "
            f"since {about['started']}"
        )
    except (OSError, ValueError, KeyError):
        return "already being run by another process"
