"""Locks: one run of a grid at a time, and one job at a time for each output.

Snakemake runs inside `results/<grid>/`, so that its records of the outputs (`.snakemake`) are next
to them and use relative names: the folder can be renamed, moved or copied as a whole, and nothing
runs again. Snakemake's own lock files survive a kill. Here an advisory lock of the operating system
shows whether a run is alive, and is released when its process ends.
"""

import atexit
import fcntl
import json
import os
import shutil
import socket
import tempfile
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


def enter(folder: Path, main: bool, writes: bool) -> None:
    """Make a grid's folder the working directory.

    main: whether a user started this process. writes: whether the folder may be written.
    """
    try:
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / LOCK).touch()
    except OSError as problem:
        raise EmgridError(f"{folder}: cannot be written ({problem.strerror})") from None
    os.chdir(folder)
    if main:
        refuse_unrecorded(folder)
    if main and writes:
        shutil.rmtree(".snakemake/locks", ignore_errors=True)


def passing_folder() -> Path:
    """An empty folder that is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="emgrid-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def refuse_unrecorded(folder: Path) -> None:
    """Raise EmgridError if outputs have no records: Snakemake would take them as up to date."""
    if not RECORDS.is_dir() and any(Path(part).exists() for part in ("stages", "jobs", "tables")):
        raise EmgridError(
            f"{folder}: holds results, but not the folder .snakemake that says what they were made "
            "of; copy it too, or delete all but `rows/`, from which nothing is computed again"
        )


def hold(folder: str) -> None:
    """Hold the grid's lock until this process exits, so that no second run can start."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock_now(lock)
    except BlockingIOError:
        raise EmgridError(f"{folder}: {holder()}; wait until it has ended, or stop it") from None
    os.ftruncate(lock, 0)
    run = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.write(lock, json.dumps(run).encode())
    held.append(lock)
    clear_drafts()


def take_turn(output: Path) -> None:
    """Hold an output's lock until this process exits. A job on another machine may outlive its
    Snakemake; its successor waits here, and then finds the stored rows."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(output.with_name(f".{output.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting: another job still writes {output}", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    held.append(lock)


def clear_drafts() -> None:
    """Remove unfinished files that killed jobs left next to their outputs. No job may be
    running."""
    for folder, inner, files in os.walk("."):
        inner[:] = [name for name in inner if name != ".snakemake"]
        for name in files:
            if name.startswith(".") and ".partial" in name:
                Path(folder, name).unlink(missing_ok=True)


def lock_now(lock: int) -> None:
    """Lock a file. Try twice, because `emgrid status` holds the lock for a moment."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.5)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def current_run(folder: Path) -> dict[str, Any] | None:
    """The current run of a grid: `pid`, `host`, `started`. Empty if these are unknown, None if
    there is no run."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return last_run(folder) or {}
    finally:
        os.close(lock)


def last_run(folder: Path) -> dict[str, Any] | None:
    """The last run of a grid, in the same form; None if it never ran."""
    try:
        run: dict[str, Any] = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return run
    except (OSError, ValueError):
        return None


@contextmanager
def prevent_runs(folder: Path) -> Iterator[None]:
    """Prevent runs of a grid meanwhile. Raises EmgridError if it is being run."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock_now(lock)
        yield
    except BlockingIOError:
        run = current_run(folder) or {}
        process = f"process {run.get('pid')} on {run.get('host')}"
        raise EmgridError(f"{folder}: is being run by {process}; wait until it has ended") from None
    finally:
        os.close(lock)


def holder() -> str:
    """A phrase that names the process that runs the grid."""
    try:
        run = json.loads(Path(LOCK).read_text(encoding="utf-8"))
        return f"already being run by process {run['pid']} on {run['host']} since {run['started']}"
    except (OSError, ValueError, KeyError):
        return "already being run by another process"
