"""Values of an imported column: their scale, words that mean values, reasons for missing ones.

Knows nothing of rows and files. A value in the grid runs from 0 to 100.
"""

import re
from dataclasses import dataclass, field
from typing import get_args

from emgrid.config.imported_values import FULL, MISSING, Values, listed
from emgrid.judge.judgement import Reason
from emgrid.runtime.errors import EmgridError

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?")
ROUNDING = 1e-9  # how far outside the scale a mean of floats may be, as a share of the scale
# A column on 0 to 100 whose numbers all fit a shorter scale: from this many numbers on it stops.
FEWEST = 10
FEW = 4  # with at least this many numbers the report warns
SHORT = 10.0
STEP = 5.0
SHOWN = 3  # words that a message names
REASONS: tuple[str, ...] = get_args(Reason)  # words that need no meaning of their own


@dataclass
class ColumnReader:
    """Reads the cells of one column, and records what its checks need.

    count, low, high: the number and the range of the numbers in the file's column. in_steps:
    whether all are multiples of STEP. unknown: by word without a value, the number of rows and the
    first one.
    """

    judge: str
    values: Values
    missing: str
    count: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    in_steps: bool = True
    unknown: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.words = {key.strip().lower(): value for key, value in self.values.words.items()}

    def see(self, text: str) -> None:
        """Count a cell, whether its row is imported or not: the scale belongs to the column."""
        word = text.strip().lower()
        if word in self.words or not NUMBER.fullmatch(word):
            return
        value = float(word)
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.in_steps &= value % STEP == 0

    def read(self, text: str, where: str) -> dict[str, float | str | None]:
        """A value from 0 to 100, or the reason why there is none. Raises EmgridError for a number
        outside the scale; a word without a value is recorded for `check`."""
        word = text.strip().lower()
        if word in self.words:
            meaning = self.words[word]
            return self.placed(meaning) if isinstance(meaning, float) else none(meaning)
        if NUMBER.fullmatch(word):
            value, (low, high) = float(word), sorted(self.values.ends)
            tolerance = ROUNDING * (high - low) / 100
            if not low - tolerance <= value <= high + tolerance:
                raise EmgridError(
                    f"{where}: {self.values.column!r} holds {text.strip()}, outside its scale "
                    f"{low:g} to {high:g}; {self.advice('scale: [WORST, BEST]')} with the ends of "
                    f'its scale, or there `words: {{"{text.strip()}": unparseable}}` if this is no '
                    "value"
                )
            return self.placed(value)
        reasons = {"": self.missing, "nan": self.missing} | dict(zip(REASONS, REASONS, strict=True))
        if word not in reasons:
            number, first = self.unknown.get(text.strip(), (0, where))
            self.unknown[text.strip()] = (number + 1, first)
        return none(reasons.get(word, "unparseable"))

    def placed(self, value: float) -> dict[str, float | str | None]:
        worst, best = self.values.ends
        scaled = value if (worst, best) == FULL else (value - worst) / (best - worst) * 100
        return {"value": min(max(scaled, 0.0), 100.0), "reason": None}

    def advice(self, setting: str) -> str:
        return f"set `values: {{{self.judge}: {{column: {self.values.column}, {setting}}}}}`"

    def check(self, name: str) -> None:
        """Raise EmgridError for words without a value, and for numbers on a shorter scale."""
        column = repr(self.values.column)
        if self.unknown:
            first = list(self.unknown.items())[:SHOWN]
            words = ", ".join(
                f"{word[:40]!r} ({rows} rows, first {where.removeprefix(f'{name}: ')})"
                for word, (rows, where) in first
            )
            rest = f" and {len(self.unknown) - SHOWN} more" if len(self.unknown) > SHOWN else ""
            raise EmgridError(
                f"{name}: {column} holds words without a value: {words}{rest}; "
                f"{self.advice(f'words: {{{quoted(first[0][0])}: VALUE}}')}, VALUE being a number "
                f"on the scale or one of {listed(MISSING)}"
            )
        if self.count >= FEWEST and self.fits_shorter():
            raise EmgridError(
                f"{name}: {self.seen()}, which do not look like values from 0 to 100; {self.way()}"
            )

    def doubt(self) -> str | None:
        """A warning if the numbers fit a shorter scale but are too few to be sure; else None."""
        if not FEW <= self.count < FEWEST or not self.fits_shorter():
            return None
        return f"{self.seen()}, which are read as values from 0 to 100; {self.way()}"

    def fits_shorter(self) -> bool:
        """Whether the numbers may be on a scale that ends at 10 or below, and no scale is stated.

        Not if all are 0, 5 or 10: judges give these values to bad answers on 0 to 100.
        """
        return self.values.scale is None and self.high <= SHORT and not self.in_steps

    def seen(self) -> str:
        numbers = f"{self.count} numbers from {self.low:g} to {self.high:g}"
        return f"{self.values.column!r} holds {numbers}"

    def way(self) -> str:
        return (
            f"{self.advice('scale: [WORST, BEST]')} with the ends of their scale, such as [0, 1] "
            "or [10, 1] ([0, 100] if they are right as they are)"
        )


def none(reason: str) -> dict[str, float | str | None]:
    return {"value": None, "reason": reason}


def quoted(word: str) -> str:
    """A word, quoted if YAML might not read it as a text."""
    return word[:40] if re.fullmatch(r"[A-Z][A-Z_]{3,}", word) else f'"{word[:40]}"'


def reader_of(judge: str, column: str | Values, missing: str) -> ColumnReader:
    values = Values(column=column) if isinstance(column, str) else column
    return ColumnReader(judge, values, missing)
