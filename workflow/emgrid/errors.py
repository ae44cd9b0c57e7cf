"""Problems that a user can act on."""

import difflib
import sys
from collections.abc import Callable, Iterable

from emgrid import stopwatch
from emgrid.watch import end_with_main_process


class EmgridError(Exception):
    """One line that says what is wrong, where, and what to do."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, or list them all where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is defined"


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; a user's problem becomes one line on stderr and exit status 1."""
    end_with_main_process()
    try:
        main()
        if line := stopwatch.told():
            print(line)
    except EmgridError as problem:
        print(f"emgrid: {problem}", file=sys.stderr)
        sys.exit(1)
