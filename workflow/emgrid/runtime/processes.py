"""Work in several processes, for what Python itself computes."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
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
    # A fork of a process with threads may hang, so each one starts anew, which takes seconds.
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, start, end_with, (os.getpid(),)) as pool:
        return list(pool.map(function, *arguments))
