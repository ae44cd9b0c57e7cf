"""Packages that only some uses of emgrid need."""

from importlib.util import find_spec

from emgrid.runtime.errors import EmgridError


def need(package: str, extra: str) -> None:
    """EmgridError if an optional package is not installed. extra: the extra that installs it."""
    if find_spec(package) is None:
        raise EmgridError(f"{package} is not installed; pip install -e '.[{extra}]'")
