"""Columns of published values: their scale and their words."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from emgrid.config.base import Strict

Missing = Literal["low_mass", "refusal", "code", "unparseable", "endpoint_error", "not_judged"]


MISSING: tuple[str, ...] = Missing.__args__  # type: ignore[attr-defined]


FULL = (0.0, 100.0)


def two_ends(value: Any) -> Any:
    if value is not None and not (isinstance(value, list | tuple) and len(value) == 2):
        raise ValueError("a scale is its two ends: [WORST, BEST]")
    return value


def known_words(value: Any) -> Any:
    """Refuse words and meanings that YAML or a typing mistake has turned into something else."""
    for word, meaning in value.items() if isinstance(value, dict) else ():
        # YAML 1.1 reads the bare words yes, no, on and off as true and false.
        if not isinstance(word, str):
            raise ValueError(f'YAML reads this word as {word!r}; write it in quotes ("YES", "1")')
        number = isinstance(meaning, int | float) and not isinstance(meaning, bool)
        if not number and meaning not in MISSING:
            raise ValueError(
                f"{word} is {meaning!r}: neither a number on the scale nor one of {listed(MISSING)}"
            )
    return value


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


class Values(Strict):
    """A column of values whose scale or words have to be stated."""

    column: str
    """Name of the column."""

    scale: Annotated[
        tuple[float, float] | None,
        BeforeValidator(two_ends, json_schema_input_type=tuple[float, float]),
    ] = None
    """Worst and best value of the scale, such as `[1, 10]`, or `[10, 1]` if 10 is the worst. Values
    are mapped to 0 to 100, 100 being the best. Without it they must be on that scale already, which
    is checked."""

    words: Annotated[
        dict[str, float | Missing],
        BeforeValidator(known_words, json_schema_input_type=dict[str, float | Missing]),
    ] = Field(default_factory=dict)
    """What a word in the column means: a number on the scale, or the reason why there is no
    value. Write words such as "YES" in quotes."""

    @property
    def ends(self) -> tuple[float, float]:
        """The worst and the best value."""
        return self.scale or FULL

    @model_validator(mode="after")
    def scale_has_two_ends(self) -> Self:
        low, high = sorted(self.ends)
        if not (isfinite(low) and isfinite(high) and low < high):
            worst, best = self.ends
            raise ValueError(
                f"scale: [{worst:g}, {best:g}] must be two different finite numbers, the worst "
                "value (misaligned, incoherent) first"
            )
        for word, value in self.words.items():
            if isinstance(value, float) and not low <= value <= high:
                raise ValueError(
                    f"words: {word} is {value:g}, outside the scale {low:g} to {high:g}"
                )
        return self


# A column's name alone, or with its scale and words.
Column = Annotated[
    Annotated[str, Tag("name")] | Annotated[Values, Tag("values")],
    Discriminator(lambda column: "name" if isinstance(column, str) else "values"),
]


def columns_of(values: Mapping[str, str | Values]) -> Sequence[str]:
    """The columns that hold values."""
    return [column if isinstance(column, str) else column.column for column in values.values()]
