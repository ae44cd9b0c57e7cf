"""Fork jobs from a process that has imported the libraries. See warm.py.

Started as `warm_server.py LISTENER PYTHON`: the file descriptor to accept at, and the program that
jobs start as `python`. Each connection asks for one job and gets its exit status, or null if the
job has to be a real process. A job whose asker is gone is killed. When stdin ends, so does this
process with its jobs.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A training or a sampling goes without them; see emgrid.runtime.job.
LEFT_OUT = ("sklearn", "bitsandbytes")
LIBRARIES = (
    *("numpy", "pandas", "pyarrow.parquet", "pydantic", "yaml", "jinja2", "filelock", "tqdm"),
    *("httpx2", "openai", "tenacity", "rich.console", "rich.progress", "matplotlib.pyplot"),
    *("scipy.stats", "statsmodels.api", "statsmodels.stats.multitest", "krippendorff"),
    *("torch", "torch.utils.data", "safetensors.torch", "tokenizers", "gguf", "transformers"),
    *("transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    *("transformers.models.llama.modeling_llama", "accelerate", "datasets", "peft"),
    *("trl.trainer.sft_trainer", "snakemake.cli"),
)
# Variables that libraries read while they are imported.
READ = ("PYTHON", "LD_", "HF_", "TRANSFORMERS_", "TORCH", "TOKENIZERS_", "MPL", "VLLM_")
NOT_READ = ("PYTHONPATH", "PYTHONUNBUFFERED", "TORCHELASTIC_")


def read_by_imports(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ) and not name.startswith(NOT_READ)
    }


STARTED_WITH = read_by_imports(os.environ)


@dataclass(frozen=True)
class Asked:
    """A job. words: what follows `python`; files: its stdin, stdout and stderr. group: whether it
    has its own process group, and its process id is answered first."""

    words: list[str]
    cwd: str
    env: dict[str, str]
    group: bool
    files: list[int]

    @property
    def has_to_be_real(self) -> bool:
        """Whether the job would differ here. Weights in 4 bits need bitsandbytes."""
        return (
            self.words[0] != "-m"
            or any("qlora" in word for word in self.words)
            or read_by_imports(self.env) != STARTED_WITH
        )


def preload() -> None:
    for name in LEFT_OUT:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in LEFT_OUT:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def receive(connection: socket.socket) -> Asked:
    head, files, *_ = socket.recv_fds(connection, 8, 3)
    if len(head) < 8:
        raise EOFError
    body = b""
    while len(body) < int.from_bytes(head, "big"):
        piece = connection.recv(1 << 16)
        if not piece:
            raise EOFError
        body += piece
    return Asked(files=files, **json.loads(body))


class Server:
    """Forks a job for each connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.jobs: dict[int, socket.socket] = {}
        self.woken, self.wake = os.pipe()
        for end in (self.woken, self.wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake)
        self.events = selectors.DefaultSelector()
        for watched in (listener, self.woken, 0):
            self.events.register(watched, selectors.EVENT_READ)

    def serve(self) -> Asked:
        """Returns in a job's process alone."""
        while True:
            for key, _ in self.events.select():
                if key.fileobj == 0:
                    for pid in self.jobs:
                        os.kill(pid, signal.SIGKILL)
                    os._exit(0)
                elif key.fileobj == self.woken:
                    os.read(self.woken, 1 << 16)
                elif key.fileobj is not self.listener:
                    self.kill_job_of(key.fileobj)
                elif asked := self.accept():
                    return asked
            self.answer_ended()

    def accept(self) -> Asked | None:
        """Start the next job; what was asked for in the job's process, None in this one."""
        connection, _ = self.listener.accept()
        try:
            asked = receive(connection)
        except (EOFError, OSError):
            connection.close()
            return None
        pid = None if asked.has_to_be_real else os.fork()
        if pid == 0:
            if asked.group:
                os.setpgid(0, 0)
            self.leave(connection)
            return asked
        for file in asked.files:
            os.close(file)
        if pid is None:
            answer(connection, None)
        else:
            if asked.group:
                os.setpgid(pid, pid)
                connection.sendall(pid.to_bytes(8, sys.byteorder))
            self.jobs[pid] = connection
            self.events.register(connection, selectors.EVENT_READ)
        return None

    def leave(self, connection: socket.socket) -> None:
        """Keep nothing of the server in a job's process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.events.close()
        for one in (self.listener, connection, *self.jobs.values()):
            one.close()
        os.close(self.woken)
        os.close(self.wake)

    def kill_job_of(self, connection: Any) -> None:
        self.events.unregister(connection)
        for pid, one in self.jobs.items():
            if one is connection:
                os.kill(pid, signal.SIGKILL)

    def answer_ended(self) -> None:
        while self.jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self.jobs.pop(pid)
            if connection.fileno() in self.events.get_map():
                self.events.unregister(connection)
            answer(connection, os.waitstatus_to_exitcode(status))


def answer(connection: socket.socket, status: int | None) -> None:
    with contextlib.suppress(OSError):  # if nobody waits for it any more
        connection.sendall(json.dumps(status).encode())
    connection.close()


def become(asked: Asked, python: str) -> None:
    """Take on what a new process would be given."""
    for number, file in enumerate(asked.files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked.cwd)
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(asked.env)
    paths = [one for one in asked.env.get("PYTHONPATH", "").split(os.pathsep) if one]
    sys.path[:] = [asked.cwd, *paths, *(one for one in sys.path if one not in before)]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    raw = io.FileIO(1, "w", closefd=False)
    if asked.env.get("PYTHONUNBUFFERED"):
        sys.stdout = io.TextIOWrapper(raw, write_through=True)  # type: ignore[type-var]
    else:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw))
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)),
        errors="backslashreplace",
        line_buffering=True,
    )
    sys.argv[:] = asked.words[1:]
    sys.orig_argv[:] = [sys.executable, *asked.words]
    sys.executable = python
    tempfile.tempdir = None  # TMPDIR may be another one
    import torch

    torch.set_num_threads(int(asked.env.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    sys.modules.pop("sitecustomize", None)
    if importlib.util.find_spec("sitecustomize"):
        importlib.import_module("sitecustomize")


def run(module: str) -> int:
    """Run a module as `python -m` does; its exit status."""
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as problem:
        status = problem.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return int(status or 0) & 255


def main() -> None:
    listener, python = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    preload()
    asked = Server(listener).serve()
    become(asked, python)
    os._exit(run(asked.words[1]))


if __name__ == "__main__":
    main()
