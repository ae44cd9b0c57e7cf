"""How much of a job's time a model computes; the rest is imports, loading and files."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

STARTED = time.monotonic()
spent = 0.0  # seconds
running = False


@contextmanager
def computing() -> Iterator[None]:
    """Count what happens within as a model's own work; work within work counts once."""
    global spent, running
    if running:
        yield
        return
    started, running = time.monotonic(), True
    try:
        yield
    finally:
        spent += time.monotonic() - started
        running = False


def counted(made: Iterator[Item]) -> Iterator[Item]:
    """Count the making of each item, but not what is done with it."""
    while True:
        with computing():
            item = next(made, None)
        if item is None:
            return
        yield item


def told() -> str | None:
    """A line for the log; None where no model computed."""
    if not spent:
        return None
    return f"model compute: {spent:.1f} s of {time.monotonic() - STARTED:.1f} s"
