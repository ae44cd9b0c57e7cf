"""Progress bars for logs and terminals: a line every few seconds, not at every step.

`emgrid status` reads the last line of a running job.
"""

from typing import Any

from tqdm import tqdm

SECONDS = 5


def bar(total: int, unit: str, **options: Any) -> Any:
    """A progress bar; close it, or use it in a `with` statement."""
    return tqdm(total=total, unit=unit, mininterval=SECONDS, **options)
