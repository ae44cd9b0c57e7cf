"""Errors that a user can act on."""

import difflib
from collections.abc import Iterable


class EmgridError(Exception):
    """One line that says what is wrong, where, and what to do."""


class MachineError(EmgridError):
    """The machine lacks memory, or an engine does not start on it; another machine may do."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Name the closest known name, or list them all if none is close."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is defined"
