"""Runs that are stopped at any moment: nothing that was computed is lost, repeated or half-written.

The grid computes nothing (see standin/), but draws a served model's answers from a fake endpoint.
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emgrid.runtime.files import read_jsonl
from emgrid.runtime.row_store import read_store
from support.endpoint_environment import keep_lists_apart
from support.fake_endpoint import FakeEndpoint
from support.needs import lacking
from support.reruns import QuickGrid, config_of
from support.serving import MODEL, VARIABLE, serving
from support.warm import Started

KILLS = 50
CALLS = 2  # at one time
TARGETS = ("tables/rates.csv", "tables/repeats.csv", "tables/preflight.csv")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    with pytest.MonkeyPatch.context() as patch, serving(latency=0.02) as fake:
        patch.setenv(VARIABLE, fake.key)
        keep_lists_apart(patch)
        yield fake


@pytest.fixture(scope="module")
def config(model_json: Path, endpoint: FakeEndpoint) -> dict[str, Any]:
    config = config_of(model_json.parent)
    for name in ("dilution", "benign_only"):
        del config["interventions"][name]
    reached = {"url": endpoint.url, "key": VARIABLE}
    tuned = {"base": "tuned", "intervention": "bad", "ratio": 1, "model": MODEL}
    config["served"] = [tuned | {"endpoint": reached}]
    config["serving"] = {"concurrency": CALLS, "backoff": 0.01, "timeout": 20}
    return config


@pytest.fixture(scope="module")
def unbroken(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> QuickGrid:
    """A run that nothing stopped."""
    grid = QuickGrid(tmp_path_factory.mktemp("unbroken"), config)
    grid.run(*TARGETS)
    return grid


def jobs_of(process: Started) -> list[int]:
    """The stages that a Snakemake has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if f"EMGRID_MAIN_PROCESS={process.pid}".encode() in environment and any(
                word.startswith(b"emgrid.") for word in command
            ):
                found.append(int(entry.name))
    return found


def kept_keys(grid: QuickGrid) -> set[str]:
    """Answers and scores that are on disk."""
    paths = [
        path for kind in ("answers", "likelihood") for path in grid.root.glob(f"rows/{kind}/*")
    ]
    return {key for path in paths for key in read_store(path)}


def end_at(process: Started, chance: random.Random) -> None:
    """Kill at a random moment after the first job has started: all, or one job alone."""
    while process.poll() is None and not jobs_of(process):
        select.select([], [], [], 0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=chance.uniform(0, 2.5))
    if process.poll() is None and chance.random() < 0.3:
        for job in jobs_of(process)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0, 1))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_fifty_kills_change_no_table_and_repeat_nothing(
    unbroken: QuickGrid,
    config: dict[str, Any],
    endpoint: FakeEndpoint,
    tmp_path: Path,
) -> None:
    chance = random.Random(7)  # noqa: S311
    delivered = endpoint.deliveries.total()
    grid, rounds = QuickGrid(tmp_path / "0", config), 1
    for kill in range(KILLS):
        known = kept_keys(grid)
        noted = len(grid.computed())
        process = grid.start(*TARGETS)
        end_at(process, chance)
        again = {words[1] for words in grid.computed()[noted:] if words[0] == "answer"} & known
        assert not again, f"kill {kill}: drawn though kept"
        if process.returncode == 0:
            check(grid, unbroken)
            grid, rounds = QuickGrid(tmp_path / str(rounds), config), rounds + 1
    grid.run(*TARGETS)
    check(grid, unbroken)
    asked = sum(1 for _ in served_rows(unbroken))
    assert endpoint.deliveries.total() - delivered <= rounds * asked + KILLS * CALLS


def served_rows(grid: QuickGrid) -> Iterator[dict[str, Any]]:
    for path in grid.root.glob("rows/served/*.jsonl"):
        yield from read_jsonl(path)


def check(grid: QuickGrid, unbroken: QuickGrid) -> None:
    """All tables are an unbroken run's, and every file under a final name is whole."""
    assert grid.tables() == unbroken.tables()
    for path in grid.root.glob("rows/*/*.jsonl"):
        keys = [row["key"] for row in read_jsonl(path)]
        assert len(set(keys)) == len(keys), path
    for path in grid.root.rglob("*.json"):
        if ".snakemake" not in path.parts:
            json.loads(path.read_text())
    assert not list(grid.root.rglob("*.partial*"))


def test_a_second_run_of_one_results_folder_is_refused(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """The first is stopped in the midst of a job, and goes on when the second has ended."""
    grid, target = QuickGrid(tmp_path, config), "tables/preflight.csv"
    first = grid.start(target)
    while first.poll() is None and not jobs_of(first):
        select.select([], [], [], 0.02)
    os.kill(first.pid, signal.SIGSTOP)
    second = grid.snakemake(target)
    planned = grid.snakemake("-n", target)
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    assert second.returncode != 0
    line = next(one for one in second.stderr.splitlines() if one.startswith("emgrid: "))
    assert f"results/quick: already being run by process {first.pid} on " in line
    assert line.endswith("wait until it has ended, or stop it")
    assert planned.returncode == 0, "a dry run disturbs nobody"
    assert (grid.root / target).is_file()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[None]:
    """A file system of so many megabytes in the folder's place."""
    folder.mkdir(parents=True)
    size = f"size={int(megabytes * 2**20)}"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "emgrid-test", folder],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        lacking(f"a file system cannot be mounted here ({made.stderr.decode().strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def size_of(folder: Path) -> float:
    """Megabytes of the files below the folder, in pages."""
    pages = sum(-(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file())
    return pages * 4096 / 2**20


def test_a_full_disk_loses_nothing_and_is_gone_on_from(
    unbroken: QuickGrid, config: dict[str, Any], tmp_path: Path
) -> None:
    grid = QuickGrid(tmp_path, config)
    disk = tmp_path / "results"
    whole = size_of(unbroken.root)
    with small_disk(disk, 0.6 * whole):
        done = grid.snakemake(*TARGETS)
        assert done.returncode != 0
        assert "No space left on device" in done.stdout + done.stderr
        known = kept_keys(grid)
        noted = len(grid.computed())
        remount(disk, f"size={int(3 * whole * 2**20)}")
        grid.run(*TARGETS)
        assert not {words[1] for words in grid.computed()[noted:]} & known
        check(grid, unbroken)


def test_a_read_only_results_folder_is_one_line(config: dict[str, Any], tmp_path: Path) -> None:
    grid = QuickGrid(tmp_path, config)
    with small_disk(tmp_path / "results", 4):
        remount(tmp_path / "results", "ro")
        done = grid.snakemake()
        assert done.returncode != 0
        lines = [line for line in done.stderr.splitlines() if "emgrid: " in line]
        assert len(lines) == 1
        assert "results/quick: cannot be written (Read-only file system)" in lines[0]
        assert "Traceback" not in done.stderr
