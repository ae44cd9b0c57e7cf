"""Which GPUs a job gets: locks that its command holds until it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAY = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"


def job(folder: Path, gpus: int, visible: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emgrid.runtime.gpus", "--gpus", str(gpus)]
    return subprocess.Popen(
        [*command, sys.executable, "-c", SAY],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def devices(started: subprocess.Popen[str]) -> set[str]:
    assert started.stdout is not None
    return set(started.stdout.readline().strip().split(","))


def test_jobs_of_one_machine_share_no_gpu(tmp_path: Path) -> None:
    jobs = [job(tmp_path, 1, "0,1,2,3"), job(tmp_path, 2, "0,1,2,3")]
    found = [devices(one) for one in jobs]
    assert [len(one) for one in found] == [1, 2]
    assert not found[0] & found[1]
    waiting = job(tmp_path, 2, "0,1,2,3")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    jobs[1].kill()  # a lock goes with its holder, however that ends
    said, _ = waiting.communicate("\n", timeout=60)
    assert len(set(said.strip().split(",")) - found[0]) == 2
    jobs[0].communicate("\n", timeout=60)


def test_what_a_scheduler_gave_is_left_as_it_is(tmp_path: Path) -> None:
    both = [job(tmp_path, 1, "GPU-aaaa"), job(tmp_path, 1, "GPU-aaaa")]
    assert [devices(one) for one in both] == [{"GPU-aaaa"}, {"GPU-aaaa"}]
    for one in both:
        one.communicate("\n", timeout=60)
    assert not list(tmp_path.iterdir())


def test_more_gpus_than_there_are_is_one_line(tmp_path: Path) -> None:
    started = job(tmp_path, 3, "")
    _, said = started.communicate(timeout=60)
    assert started.returncode == 1
    assert said == (
        "emgrid: a job asks for 3 GPUs, but 0 are visible; lower its `gpu` in the config's "
        "resources\n"
    )
