"""Values of an imported column: their scale, their words, and the reasons why there is none.

Knows nothing of rows and files. A value of the grid runs from 0 to 100.
"""

import re
from dataclasses import dataclass, field

from emgrid.config.imported_values import FULL, MISSING, Values, listed
from emgrid.runtime.errors import EmgridError

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?")
ROUNDING = 1e-9  # as a share of the scale, how far outside it a mean of floats may be
# A column on 0 to 100 whose numbers all fit a shorter scale: from this many numbers on it stops.
FEWEST = 10
FEW = 4  # from this many numbers on the report says so
SHORT = 10.0
STEP = 5.0
SHOWN = 3  # words that a message names


@dataclass
class ColumnReader:
    """Reads the cells of one column, and keeps what its checks need.

    numbers: how many numbers the file's column holds, and their ends. unknown: words without a
    value, with the number of rows and the first one.
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
        """Count a cell of the file, taken or not: the scale is one of the whole column."""
        word = text.strip().lower()
        if word in self.words or not NUMBER.fullmatch(word):
            return
        value = float(word)
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.in_steps &= value % STEP == 0

    def read(self, text: str, where: str) -> dict[str, float | str | None]:
        """A value from 0 to 100, or the reason why there is none. Raises EmgridError for a number
        outside the scale; a word that has no value is kept for `check`."""
        word = text.strip().lower()
        if word in self.words:
            meant = self.words[word]
            return self.placed(meant) if isinstance(meant, float) else none(meant)
        if NUMBER.fullmatch(word):
            value, (low, high) = float(word), self.values.ends
            beyond = ROUNDING * (high - low) / 100
            if not low - beyond <= value <= high + beyond:
                raise EmgridError(
                    f"{where}: {self.values.column!r} holds {text.strip()}, outside its scale "
                    f"{low:g} to {high:g}; {self.advice('scale: [LOW, HIGH]')} with the ends of "
                    f'its scale, or there `words: {{"{text.strip()}": unparseable}}` if this is no '
                    "value"
                )
            return self.placed(value)
        reasons = {"": self.missing, "nan": self.missing, "code": "code", "refusal": "refusal"}
        if word not in reasons:
            number, first = self.unknown.get(text.strip(), (0, where))
            self.unknown[text.strip()] = (number + 1, first)
        return none(reasons.get(word, "unparseable"))

    def placed(self, value: float) -> dict[str, float | str | None]:
        low, high = self.values.ends
        on_grid = value if (low, high) == FULL else (value - low) / (high - low) * 100
        return {"value": min(max(on_grid, 0.0), 100.0), "reason": None}

    def advice(self, setting: str) -> str:
        return f"set `values: {{{self.judge}: {{column: {self.values.column}, {setting}}}}}`"

    def check(self, name: str) -> None:
        """Raise EmgridError for words without a value, and for numbers of a shorter scale."""
        column = repr(self.values.column)
        if self.unknown:
            first = list(self.unknown.items())[:SHOWN]
            words = ", ".join(
                f"{word[:40]!r} ({rows} rows, first {where.removeprefix(f'{name}: ')})"
                for word, (rows, where) in first
            )
            more = f" and {len(self.unknown) - SHOWN} more" if len(self.unknown) > SHOWN else ""
            raise EmgridError(
                f"{name}: {column} holds words without a value: {words}{more}; "
                f"{self.advice(f'words: {{{quoted(first[0][0])}: VALUE}}')}, VALUE being a number "
                f"on the scale or one of {listed(MISSING)}"
            )
        if self.count >= FEWEST and self.fits_shorter():
            raise EmgridError(
                f"{name}: {self.seen()}, which do not look like values from 0 to 100; {self.way()}"
            )

    def doubt(self) -> str | None:
        """A sentence on numbers of which there are too few to tell whether they are of a shorter
        scale; None if nothing speaks for one."""
        if not FEW <= self.count < FEWEST or not self.fits_shorter():
            return None
        return f"{self.seen()}, which are read as values from 0 to 100; {self.way()}"

    def fits_shorter(self) -> bool:
        """Whether the numbers may be those of a scale that ends at 10 or below, and no scale is
        stated.

        Numbers that are all 0, 5 or 10 are what a judge gives to bad answers on 0 to 100.
        """
        return self.values.scale is None and self.high <= SHORT and not self.in_steps

    def seen(self) -> str:
        numbers = f"{self.count} numbers from {self.low:g} to {self.high:g}"
        return f"{self.values.column!r} holds {numbers}"

    def way(self) -> str:
        return (
            f"{self.advice('scale: [LOW, HIGH]')} with the ends of their scale, such as [0, 1] or "
            "[1, 10] ([0, 100] if they are right as they are)"
        )


def none(reason: str) -> dict[str, float | str | None]:
    return {"value": None, "reason": reason}


def quoted(word: str) -> str:
    """A word as YAML reads it back as a text."""
    return word[:40] if re.fullmatch(r"[A-Z][A-Z_]{3,}", word) else f'"{word[:40]}"'


def reader_of(judge: str, written: str | Values, missing: str) -> ColumnReader:
    values = Values(column=written) if isinstance(written, str) else written
    return ColumnReader(judge, values, missing)
