"""Work in several processes."""

import os
import select
import subprocess
import sys
from multiprocessing import active_children
from operator import add
from pathlib import Path

import pyarrow as pa
import pytest
from emgrid.runtime.processes import call_beside, mapped

# A path that each process resolves to its own.
SELF = "/proc/self"


def test_results_are_in_the_order_of_the_arguments() -> None:
    assert mapped(add, range(20), range(20)) == [2 * number for number in range(20)]


def test_a_single_call_starts_no_process() -> None:
    assert mapped(os.path.realpath, [SELF]) == [f"/proc/{os.getpid()}"]


def test_many_calls_are_made_elsewhere_and_leave_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)
    processes = set(mapped(os.path.realpath, [SELF] * 4))
    assert f"/proc/{os.getpid()}" not in processes
    assert 1 <= len(processes) <= 2
    assert not active_children()


def test_an_error_in_another_process_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        mapped(add, [1, 2], [1, "2"])


def test_a_call_beside_is_made_elsewhere_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)
    process = call_beside(os.path.realpath, SELF, worth_it=True)
    assert process() != f"/proc/{os.getpid()}"
    for child in active_children():
        child.join(60)
    assert not active_children()


@pytest.mark.parametrize(("cores", "worth_it"), [(1, True), (2, False)])
def test_a_call_that_needs_no_process_is_made_here(
    cores: int, worth_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: cores)
    assert call_beside(os.path.realpath, SELF, worth_it=worth_it)() == f"/proc/{os.getpid()}"


def test_an_error_beside_reaches_who_asks_for_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        call_beside(add, 1, "2", worth_it=True)()


# Starts calls that take longer than any test, and writes the ids of its processes.
LONG = """
import multiprocessing, threading, time
from emgrid.runtime.processes import mapped

def write_processes():
    while len(children := multiprocessing.active_children()) < 2:
        pass
    print(*(child.pid for child in children), flush=True)

if __name__ == "__main__":
    threading.Thread(target=write_processes, daemon=True).start()
    mapped(time.sleep, [600, 600])
"""


def test_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "long.py"
    script.write_text(LONG)
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [os.pidfd_open(int(number)) for number in parent.stdout.readline().split()]
        parent.kill()
        for child in children:
            assert select.select([child], [], [], 60)[0], "the process is still there"
            os.close(child)
    assert len(children) == 2
