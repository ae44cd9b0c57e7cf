"""How much of a job's time a model computes; the rest is imports, loading and files."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = time.monotonic()
spent = 0.0  # seconds


@contextmanager
def computing() -> Iterator[None]:
    """Count what happens within as a model's own work."""
    global spent
    started = time.monotonic()
    try:
        yield
    finally:
        spent += time.monotonic() - started


def told() -> str | None:
    """A line for the log; None where no model computed."""
    if not spent:
        return None
    return f"model compute: {spent:.1f} s of {time.monotonic() - STARTED:.1f} s"
