"""Processes that need not import the libraries: they are forked from one that has.

A test would spend most of a job's time on importing torch, transformers or pandas. `run` starts a
job as `python -m MODULE` does, with its own arguments, environment, folder, outputs and exit
status, but from a process that has imported the libraries (see warm_server.py), and nothing of
emgrid. `python` is a program that does so, for what starts its jobs itself. A job that would differ
there is a real process: if the environment holds what libraries read while they are imported, or if
weights have 4 bits.
"""

import atexit
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from support.warm_client import answer_of, ask, connect

HERE = Path(__file__).parent
# What `python` is to a grid whose jobs are forked, too.
SHIM = f"""#!{sys.executable} -IS
import sys
sys.path.insert(0, {str(HERE)!r})
import warm_client
warm_client.main({sys.executable!r})
"""


@cache
def server(*variables: tuple[str, str]) -> Path:
    """The socket of the process that forks; it ends with this one.

    variables: of its environment, besides those of this process.
    """
    folder = Path(tempfile.mkdtemp(prefix="emgrid-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    shim = folder / "python"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-P", str(HERE / "warm_server.py"), str(listener.fileno()), str(shim)],
        pass_fds=(listener.fileno(),),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(variables),
        start_new_session=True,
    )
    listener.close()
    atexit.register(process.communicate)  # the end of its stdin ends it
    return path


def python(**variables: str) -> Path:
    """A program that forks jobs of emgrid and Snakemakes, and otherwise is the real `python`.

    variables: what libraries read while they are imported, if jobs have it in their environment.
    """
    return server(*sorted(variables.items())).parent / "python"


def run(
    words: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ...`, as subprocess.run with captured text does.

    words: what follows `python`.
    """
    command = [sys.executable, *words]
    folder = str(cwd or Path.cwd())
    given = dict(os.environ if env is None else env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = ask(str(server()), words, folder, given, (0, out.fileno(), err.fileno()))
        if status is None:
            return subprocess.run(
                command, capture_output=True, text=True, cwd=folder, env=given, check=False
            )
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
    return subprocess.CompletedProcess(command, status, *said)


class Started:
    """A forked job in its own process group, with what subprocess.Popen knows of a process."""

    def __init__(self, words: list[str], env: Mapping[str, str]) -> None:
        with open(os.devnull, "r+b") as null:  # noqa: PTH123
            files = (null.fileno(),) * 3
            self.connection = connect(
                str(server()), words, str(Path.cwd()), dict(env), files, group=True
            )
        self.pid = int.from_bytes(self.connection.recv(8), sys.byteorder)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The job's exit status. Raises TimeoutExpired if it runs on for so many seconds."""
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = answer_of(self.connection)
        assert self.returncode is not None
        return self.returncode
