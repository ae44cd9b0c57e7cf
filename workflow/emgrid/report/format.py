"""How the page writes numbers, lists of names and durations."""

import math
from collections.abc import Sequence

# Spaces at which a line does not break.
THIN, HARD = "\u202f", "\u00a0"


def percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}{THIN}%".replace("-", "−")


def points(value: float) -> str:
    """A difference of rates in percentage points, with its sign."""
    # Adding 0.0 turns a negative zero into a positive one.
    return "–" if math.isnan(value) else f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """The bounds of a difference of rates, in percentage points."""
    return f"{points(low)} to {points(high)}"


def p_value(value: float) -> str:
    """“p = 0.031”, or a bound if p is too small to be quoted exactly."""
    if math.isnan(value):
        return "p unknown"
    text = "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
    return text.replace(" ", HARD)


def level(confidence: float) -> str:
    """A confidence level as a percentage: “95 %”."""
    return f"{100 * confidence:g}{THIN}%"


def in_points(value: float) -> str:
    """A difference of rates: “+1.5 points”."""
    return f"{points(value)}{HARD}points"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names separated by commas, with `last` before the final one."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it: “45 s”, “3.2 min” or “5.1 h”."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
