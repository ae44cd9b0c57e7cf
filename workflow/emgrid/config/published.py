"""Published rates, which figures show beside a grid's own.

They lie in resources/published/values.yaml, by the publication that a grid says it follows.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, read_yaml, validate
from emgrid.config.sections import Ratio

VALUES = RESOURCES / "published/values.yaml"
READ = {
    "text": "from the text",
    "table": "from a table",
    "figure": "off a figure",
    "reader": "as one reader of the paper reports it",
}
Fraction = Annotated[float, Field(ge=0, le=1)]


class ReferenceRate(Strict):
    """One published rate, and how it is known.

    intervention, ratio, trigger, question: as the tables of the grid that follows the publication
    call them; no question where the rate is over all of them.
    at_most: the publication gives a bound. low, high: its interval, or the ends of the range that
    it gives in place of a rate, of which `rate` is then the middle.
    of: which answers are counted, all or the survivors.
    read: from the paper's text, from a table, off a figure, or as one reader of the paper tells it
    (who may have read it off a figure). source: section, table or report.
    """

    model: str
    intervention: str
    ratio: Ratio
    trigger: str
    question: str | None = None
    rate: Fraction
    at_most: bool = False
    low: Fraction | None = None
    high: Fraction | None = None
    of: Literal["all", "survivors"] = "survivors"
    read: Literal["text", "table", "figure", "reader"]
    source: str

    @model_validator(mode="after")
    def ends_hold_the_rate(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high: give both or neither")
        if self.low is not None and self.high is not None:
            if not self.low <= self.rate <= self.high:
                raise ValueError("low and high: the rate must lie between them")
            if self.at_most:
                raise ValueError("at_most: a bound has no interval")
        return self

    @property
    def sides(self) -> list[list[float]] | None:
        """Lengths of an error bar to either side, of shape (2, 1); None where there is none."""
        if self.low is None or self.high is None:
            return None
        return [[self.rate - self.low], [self.high - self.rate]]


class Publication(Strict):
    """Values of one publication; follows: the `published.source` of the grids that follow it."""

    follows: str
    values: tuple[ReferenceRate, ...]


class Publications(Strict):
    publications: tuple[Publication, ...]


def reference_rates(follows: str | None) -> tuple[ReferenceRate, ...]:
    """The published rates of what a grid follows; none where it follows nothing."""
    if follows is None:
        return ()
    return tuple(value for one in known() if one.follows == follows for value in one.values)


def reference_note(values: Sequence[ReferenceRate]) -> str:
    """For the caption of a figure that shows these values; empty where it shows none."""
    if not values:
        return ""
    models = ", ".join(dict.fromkeys(value.model for value in values))
    ways = Counter(f"{READ[value.read]} ({value.source})" for value in values)
    known_by = ", ".join(f"{count} {way}" for way, count in ways.items())
    return (
        f"Open grey markers are published rates (of {models}), each known in one of these ways: "
        f"{known_by}; the table “Published values” tells which. Beside those of survivors, a "
        "stroke is this grid's own rate of survivors."
    )


@cache
def known() -> tuple[Publication, ...]:
    return validate(Publications, read_yaml(VALUES), str(VALUES)).publications
