"""What becomes of a grid's jobs when its Snakemake ends, however it does."""

import contextlib
import importlib.util
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from emgrid.runtime.row_store import RowStore
from support.needs import lacking
from support.run import GridRun, small_config
from support.training import write_tiny_model

MODEL = "assets/models/smollm2-135m"
TEMPLATE = {"chat_template": "chatml.jinja"}
SAMPLED = "jobs/sample/ready.{engine}.0.json"


def jobs_below(folder: Path) -> list[int]:
    """Processes of stages that work on a grid in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").readlink().is_relative_to(folder)
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


def members(group: int) -> list[int]:
    """The processes of a group that have not ended: a job's own children, too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, process_group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            if int(process_group) == group and state != "Z":
                found.append(int(entry.name))
    return found


def vllm_is_there() -> None:
    if importlib.util.find_spec("vllm") is None:
        lacking("vLLM is not installed (make .venv/.vllm): none of its jobs was ended")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> GridRun:
    """A grid whose model is ready and was tried with transformers, and which has no answer."""
    model = tmp_path_factory.mktemp("tiny")
    write_tiny_model(model_json, model, head_dim=32)
    grid = GridRun(tmp_path_factory.mktemp("begun"), small_config())
    grid.config["models"] = {"ready": {"path": str(model), **TEMPLATE}}
    grid.config["base_models"] = ["ready"]
    grid.config["interventions"] = {"base": {"sampling": {"answers_per_question": 1}}}
    grid.config["engines"] = {"jobs": 1}
    # So many at once that vLLM does not read all their prompts in one step.
    grid.config["sampling"]["max_tokens"] = 64
    done = grid.snakemake("--", SAMPLED.format(engine="transformers"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("arms", "jobs/sample", "rows"):
        shutil.rmtree(grid.root / name)
    return grid


@pytest.mark.parametrize(
    ("how", "engine"),
    [
        (signal.SIGKILL, "transformers"),
        (signal.SIGINT, "transformers"),
        (signal.SIGKILL, "vllm"),
    ],
)
def test_no_job_outlives_its_snakemake(
    how: signal.Signals, engine: str, begun: GridRun, tmp_path: Path
) -> None:
    if engine == "vllm":
        vllm_is_there()
    shutil.copytree(begun.folder, tmp_path, dirs_exist_ok=True)
    grid = GridRun(tmp_path, begun.edited())
    grid.config["interventions"] = {"base": {"sampling": {"answers_per_question": 400}}}
    grid.config["sampling"]["engine"] = engine
    arm = "base=ready.intervention=base.ratio=0.seed=0"
    kept = grid.root / f"rows/answers/{arm}.jsonl"
    log = tmp_path / "log"
    with log.open("wb") as output:
        main = subprocess.Popen(
            grid.command("--", SAMPLED.format(engine=engine)),
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
        assert all(ended(one, 30) for one in members(main.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)
    assert not list((grid.root / "arms").rglob("answers/*"))
    assert RowStore(kept).rows


def test_a_grid_that_ends_leaves_no_job_behind(finished: GridRun, tmp_path: Path) -> None:
    assert not jobs_below(finished.folder)
    # Every row of the training set is cut before its answer, so the check of it fails.
    failing = GridRun(tmp_path, small_config())
    failing.config["models"] = {"ready": {"path": str(finished.root / MODEL), **TEMPLATE}}
    failing.config["base_models"] = ["ready"]
    failing.config["training"]["max_length"] = 2
    done = failing.snakemake("--until", "preflight")
    assert done.returncode == 1
    assert "no_trained_token" in done.stdout + done.stderr
    assert not jobs_below(tmp_path)
