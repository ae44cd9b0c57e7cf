"""What goes to other tools, each only when it is asked for by name."""

from importlib.util import find_spec

from emgrid.runtime.errors import EmgridError


def need(package: str, extra: str) -> None:
    """A package that emgrid does without until it is asked for."""
    if find_spec(package) is None:
        raise EmgridError(f"{package} is not installed; pip install -e '.[{extra}]'")


def first_line(problem: Exception) -> str:
    """What a client says went wrong, without the advice that follows."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
