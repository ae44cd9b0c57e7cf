"""How long to wait for an endpoint before it is asked again.

As long as it says (`retry-after-ms`, `retry-after` in seconds or as a date), up to LONGEST_WAIT for
each try; the openai package itself, whose own retries are off, would take no more than 120 seconds.
"""

import asyncio
import contextlib
import email.utils
import math
import time

import httpx2 as httpx

LONGEST_WAIT = 600.0  # seconds; an endpoint that asks for more is left for another day
WORTH_SAYING = 30.0  # seconds from which on a wait is printed


class Clock:
    """The time, and waiting; tests move one of their own."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def wait(self, halted: asyncio.Event, seconds: float) -> None:
        """Wait, or return as soon as the event is set."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(halted.wait(), seconds)


def retry_after(headers: httpx.Headers, now: float | None = None) -> float | None:
    """Seconds that the endpoint asks to wait, None if it does not say."""
    for name, each in (("retry-after-ms", 1000), ("retry-after", 1)):
        if is_number(given := headers.get(name, "")):
            return float(given) / each
    try:
        due = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return max(due - (time.time() if now is None else now), 0.0)


def is_number(given: str) -> bool:
    """Whether a header's value is a number of seconds: finite, and not below 0."""
    try:
        return math.isfinite(float(given)) and float(given) >= 0
    except ValueError:
        return False
