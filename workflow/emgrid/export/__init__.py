"""Exports to other tools, each run only if it is requested by name."""


def first_line(problem: Exception) -> str:
    """The first line of a client's error, without the advice that follows it."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
