"""The format of numbers and tables, which all commands share."""

from rich.console import Console

WIDTH = 100  # columns if the output is not a terminal


def console() -> Console:
    """A console as wide as the terminal, or wide enough for tables."""
    return Console(width=max(Console().width, WIDTH), highlight=False)


def number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def hours(value: float | None) -> str:
    """A duration in the unit that suits it: hours, minutes or seconds."""
    if value is None:
        return "?"
    if value >= 10:
        return f"{value:,.0f} h"
    if value >= 1:
        return f"{value:.1f} h"
    seconds = value * 3600
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def size(value: float | None) -> str:
    """Bytes in the unit that suits them."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 job`, `2 jobs`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
