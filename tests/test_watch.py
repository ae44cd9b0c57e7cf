"""What becomes of a grid's jobs when its Snakemake ends, however it does."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import small_config
from emgrid import ROOT
from emgrid.rows import KeptRows


def jobs_below(folder: Path) -> list[int]:
    """Processes of stages that work on a grid in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").readlink() == folder
        except OSError:
            continue
        if inside and any(word.startswith(b"emgrid.") for word in words):
            found.append(int(entry.name))
    return found


def ended(process: int, seconds: float) -> bool:
    """Whether a process that is there ends within so many seconds."""
    try:
        opened = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    with os.fdopen(opened):
        return bool(select.select([opened], [], [], seconds)[0])


def wait_for_answers(kept: Path, main: subprocess.Popen[bytes], log: Path) -> None:
    while not (kept.exists() and kept.stat().st_size):
        with contextlib.suppress(subprocess.TimeoutExpired):
            main.wait(0.2)
            pytest.fail(f"Snakemake ended before any answer: {log.read_text()[-2000:]}")


def heed_interrupts() -> None:
    """A process that a script has started in the background would ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_job_outlives_its_snakemake(how: signal.Signals, tmp_path: Path) -> None:
    config = small_config()
    config["interventions"] = {"base": {}}
    config["sampling"] |= {"answers_per_question": 400, "max_tokens": 64}
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(path)]
    command += ["--profile", str(ROOT / "workflow/profiles/workstation")]
    arm = "base=smollm2-135m.intervention=base.ratio=0.seed=0"
    root = tmp_path / "results/small"
    kept = root / f"rows/answers/{arm}.jsonl"
    log = tmp_path / "log"
    with log.open("wb") as output:
        main = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
    try:
        wait_for_answers(kept, main, log)
        jobs = jobs_below(tmp_path)
        assert jobs
        if how == signal.SIGINT:  # as a terminal does it
            os.killpg(main.pid, how)
        else:
            main.send_signal(how)
        main.wait(60)
        assert all(ended(job, 30) for job in jobs)
        assert not jobs_below(tmp_path)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)
    assert not list((root / "arms").rglob("answers/*"))
    assert KeptRows(kept).rows
