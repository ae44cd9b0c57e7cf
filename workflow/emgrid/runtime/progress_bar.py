"""Progress bars that suit a log as well as a terminal: a line every few seconds, not every step.

`emgrid status` reads the last one of a running job.
"""

from typing import Any

from tqdm import tqdm

SECONDS = 5


def bar(total: int, unit: str, **given: Any) -> Any:
    """A bar to be closed, or used in a `with`."""
    return tqdm(total=total, unit=unit, mininterval=SECONDS, **given)
