"""Exports to other tools, each run only if it is requested by name."""

from importlib.util import find_spec

from emgrid.runtime.errors import EmgridError


def need(package: str, extra: str) -> None:
    """EmgridError if an optional package is not installed. extra: the extra that installs it."""
    if find_spec(package) is None:
        raise EmgridError(f"{package} is not installed; pip install -e '.[{extra}]'")


def first_line(problem: Exception) -> str:
    """The first line of a client's error, without the advice that follows it."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
