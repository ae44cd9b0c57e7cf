"""Published rates, which figures show beside a grid's own.

They lie in resources/published/values.yaml, by the publication that a grid says it follows.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from emgrid import RESOURCES
from emgrid.settings import Ratio
from emgrid.strict import Strict, read_yaml, validate

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

    intervention, ratio, trigger: as the tables of the grid that follows the publication call them.
    at_most: the publication gives a bound. of: which answers are counted, all or the survivors.
    read: from the paper's text, from a table, off a figure, or as one reader of the paper tells it
    (who may have read it off a figure). source: section, table or report.
    """

    model: str
    intervention: str
    ratio: Ratio
    trigger: str
    rate: Fraction
    at_most: bool = False
    of: Literal["all", "survivors"] = "survivors"
    read: Literal["text", "table", "figure", "reader"]
    source: str


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
        f"Open grey markers are published rates of other models than here ({models}), each known "
        f"in one of these ways: {known_by}."
    )


@cache
def known() -> tuple[Publication, ...]:
    return validate(Publications, read_yaml(VALUES), str(VALUES)).publications
