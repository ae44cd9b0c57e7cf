"""How long models compute during a job; the rest of its time is imports, loading and files."""

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
    """Count the time inside as model compute. Nested uses count once."""
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


def counted(items: Iterator[Item]) -> Iterator[Item]:
    """Count the time that the iterator takes for each item, but not what the caller does with
    it."""
    while True:
        with computing():
            item = next(items, None)
        if item is None:
            return
        yield item


def log_line() -> str | None:
    """A line for the log; None if no model computed."""
    if not spent:
        return None
    return f"model compute: {spent:.1f} s of {time.monotonic() - STARTED:.1f} s"
