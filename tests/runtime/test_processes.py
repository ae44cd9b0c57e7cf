"""Work in several processes."""

import os
from multiprocessing import active_children
from operator import add

import pyarrow as pa
import pytest
from emgrid.runtime.processes import mapped

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
