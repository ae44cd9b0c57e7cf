"""A job that is forked (see warm.py) is the job that `python -m` would run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emgrid import ROOT
from support import warm

PACKAGE = ROOT / "workflow/emgrid"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__main__")
    for path in PACKAGE.rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)
SAY = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv[1:], "main": sys.modules["__main__"].__spec__.name, "cwd": os.getcwd(),
    "emgrid": sorted(name for name in sys.modules if name.startswith("emgrid")),
    "torch": "torch" in sys.modules, "stdin": sys.stdin.read(), "variable": os.environ["MINE"],
    "site": getattr(sys, "said_by_site", None), "path": sys.path[0], "pid": os.getpid(),
}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the modules of a test are, as `python -m` finds what is here."""
    (tmp_path / "say.py").write_text(SAY)
    return tmp_path


def test_there_are_modules_to_run() -> None:
    assert {"emgrid.train.train", "emgrid.sample.sample", "emgrid.cli.main"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_command_line_is_the_same_in_a_real_process(module: str) -> None:
    """The real process is the command that a rule runs: no module is seen in forks alone."""
    words = ["-m", module, "--no-such-option"]
    real = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    forked = warm.run(words, cwd=ROOT)
    assert forked.returncode == real.returncode
    assert (forked.stdout, forked.stderr) == (real.stdout, real.stderr)


def test_a_job_has_its_own_arguments_folder_and_environment(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text("import sys\nsys.said_by_site = 'here'\n")
    env = os.environ | {"MINE": "1", "PYTHONPATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = warm.run(["-m", "say", "--one", "a b"], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["argv"] == ["--one", "a b"]
    assert said["main"] == "say"
    assert said["cwd"] == said["path"] == str(folder)
    assert said["variable"] == "1"
    assert said["site"] == "here"
    assert said["torch"], "forked"
    assert said["emgrid"] == [], "what is tested is imported by the job itself"
    assert "MINE" not in os.environ


@pytest.mark.parametrize("variable", ["PYTHONHASHSEED", "HF_HUB_OFFLINE", "TRANSFORMERS_CACHE"])
def test_a_job_with_what_imports_read_is_a_real_process(folder: Path, variable: str) -> None:
    env = os.environ | {"MINE": "1", variable: "1"}
    done = warm.run(["-m", "say"], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert not json.loads(done.stdout)["torch"]


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('one line')", 1, "one line\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import sys; print('é', file=sys.stderr); sys.exit(1)", 1, "é\n"),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'at exit')", 0, "at exit"),
        ("import threading, sys, time\ndef late(): time.sleep(.2); sys.stderr.write('late')\n"
         "threading.Thread(target=late).start()", 0, "late"),
    ],
)  # fmt: skip
def test_a_job_ends_as_a_process_does(folder: Path, code: str, status: int, said: str) -> None:
    (folder / "ends.py").write_text(code)
    done = warm.run(["-m", "ends"], cwd=folder)
    assert (done.returncode, done.stderr) == (status, said)


def test_a_traceback_is_on_stderr(folder: Path) -> None:
    (folder / "fails.py").write_text("raise ValueError('of the test')")
    done = warm.run(["-m", "fails"], cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("\nValueError: of the test\n")


def shim(name: str) -> list[str]:
    return [str(warm.python()), "-m", name]


def test_python_of_a_grid_forks_stages_and_runs_all_else(folder: Path) -> None:
    done = subprocess.run(
        shim("emgrid.data.mix"), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: emgrid.data.mix")
    env = os.environ | {"MINE": "1"}
    other = subprocess.run(
        shim("say"), input="text", capture_output=True, text=True, check=True, cwd=folder, env=env
    )
    said = json.loads(other.stdout)
    assert (said["stdin"], said["torch"]) == ("text", False)


def test_a_stage_ends_with_the_process_that_waits_for_it(folder: Path) -> None:
    package = folder / "emgrid"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "waits.py").write_text(
        "import os, pathlib, time\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    env = os.environ | {"PYTHONPATH": ""}
    waiting = subprocess.Popen(shim("emgrid.waits"), cwd=folder, env=env)
    written = folder / "pid"
    within(60, lambda: written.is_file() and written.read_text() != "")
    job = Path("/proc") / written.read_text()
    assert job.exists()
    waiting.kill()
    waiting.wait()
    within(60, lambda: not job.exists())


def within(seconds: float, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", b"\0\0\0", (9).to_bytes(8, "big"), b"\0" * 7 + b"\5half"])
def test_whoever_is_gone_before_all_is_asked_ends_nothing(folder: Path, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(warm.server()))
        if sent:
            asker.sendall(sent)
    (folder / "fine.py").write_text("print('fine')")
    assert warm.run(["-m", "fine"], cwd=folder).stdout == "fine\n"
