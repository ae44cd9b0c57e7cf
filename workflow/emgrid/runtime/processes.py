"""Work in several processes, for what Python itself computes."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import SpawnContext
from typing import Any, TypeVar

import pyarrow as pa

from emgrid.runtime.watchdog import end_with

Result = TypeVar("Result")


def mapped(function: Callable[..., Result], *arguments: Sequence[Any]) -> list[Result]:
    """Like `map`: in this process for a single call, else in as many processes as Arrow has threads
    (OMP_NUM_THREADS, or the cores). They end with this one."""
    number = min(len(arguments[0]), pa.cpu_count())
    if number < 2:
        return list(map(function, *arguments))
    with processes(number) as pool:
        return list(pool.map(function, *arguments))


def call_beside(
    function: Callable[..., Result], *arguments: Any, worth_it: bool
) -> Callable[[], Result]:
    """Begin a call in a process beside this one; return the function that waits for its result.

    If the call is not worth a process or Arrow has a single thread, this process makes it, when its
    result is asked for.
    """
    if not worth_it or pa.cpu_count() < 2:
        return partial(function, *arguments)
    pool = processes(1)
    future = pool.submit(function, *arguments)
    pool.shutdown(wait=False)
    return future.result


def processes(number: int) -> ProcessPoolExecutor:
    """Processes that end with this one. A fork of a process with threads may hang, so each one
    starts anew, which takes seconds."""
    start: SpawnContext = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, start, end_with, (os.getpid(),))
