"""How long to wait before an endpoint is called again.

As long as it asks (`retry-after-ms`, `retry-after` in seconds or as a date), up to LONGEST_WAIT per
attempt. The openai package's own retries, which are off, accept at most 120 seconds.
"""

import asyncio
import contextlib
import email.utils
import math
import time

import httpx2 as httpx

LONGEST_WAIT = 600.0  # seconds; if an endpoint asks for more, the job stops
WORTH_SAYING = 30.0  # seconds; longer waits are printed


class Clock:
    """The time, and waiting; tests replace it."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def wait(self, halted: asyncio.Event, seconds: float) -> None:
        """Wait, or return as soon as the event is set."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(halted.wait(), seconds)


def retry_after(headers: httpx.Headers, now: float | None = None) -> float | None:
    """Seconds that the endpoint asks to wait; None if it does not ask."""
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        if is_number(value := headers.get(name, "")):
            return float(value) / per_second
    try:
        due = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return max(due - (time.time() if now is None else now), 0.0)


def is_number(value: str) -> bool:
    """Whether a header's value is a finite number of seconds that is not negative."""
    try:
        return math.isfinite(float(value)) and float(value) >= 0
    except ValueError:
        return False
