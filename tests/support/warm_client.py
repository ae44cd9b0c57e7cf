"""Ask the process of warm_server.py for a job. Few imports: each job of a grid runs this first."""

import json
import os
import signal
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

# Of benchmarks/, which the tests run at toy size.
BENCHMARKS = ("check_gpu", "gpu_model", "peak_memory")


def connect(
    path: str,
    words: list[str],
    cwd: str,
    env: dict[str, str],
    files: tuple[int, int, int],
    group: bool = False,
) -> socket:
    """Ask for a job. files: its stdin, stdout and stderr. group: whether it has its own process
    group; the answer then begins with its process id."""
    body = json.dumps({"words": words, "cwd": cwd, "env": env, "group": group}).encode()
    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.connect(path)
    handed = b"".join(file.to_bytes(4, sys.byteorder) for file in files)
    connection.sendmsg([len(body).to_bytes(8, "big")], [(SOL_SOCKET, SCM_RIGHTS, handed)])
    connection.sendall(body)
    return connection


def answer_of(connection: socket) -> int | None:
    """The exit status of the job as subprocess gives it (negative for a signal); None if it has to
    be a real process."""
    answer = b""
    try:
        while piece := connection.recv(64):
            answer += piece
    finally:
        connection.close()
    if not answer:
        raise RuntimeError("the process that forks the tests' jobs has ended")
    status: int | None = json.loads(answer)
    return status


def ask(
    path: str, words: list[str], cwd: str, env: dict[str, str], files: tuple[int, int, int]
) -> int | None:
    """Run a job; see connect and answer_of."""
    return answer_of(connect(path, words, cwd, env, files))


def main(python: str) -> None:
    """Be `python` for a grid: the status of the forked job, or the real program."""
    words = sys.argv[1:]
    forked = ("emgrid.", "snakemake", "support.", *BENCHMARKS)
    if words[:1] == ["-m"] and words[1].startswith(forked):
        path = os.path.join(os.path.dirname(sys.argv[0]), "socket")  # noqa: PTH118, PTH120
        status = ask(path, words, os.getcwd(), dict(os.environ), (0, 1, 2))  # noqa: PTH109
        if status is not None and status < 0:
            if -status != signal.SIGKILL:
                signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        if status is not None:
            os._exit(status)
    os.execv(python, [python, *words])  # noqa: S606
