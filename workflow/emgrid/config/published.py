"""What a publication did and found, so that a grid that follows it can be compared with it.

Published rates are in resources/published/values.yaml, by the publication that a grid follows.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.sections import Ratio
from emgrid.config.yaml_files import read_yaml

VALUES = RESOURCES / "published/values.yaml"
READ = {
    "text": "from the text",
    "table": "from a table",
    "figure": "off a figure",
    "reader": "as one reader of the paper reports it",
}
Fraction = Annotated[float, Field(ge=0, le=1)]


class ReferenceRate(Strict):
    """One published rate, and how it is known."""

    model: str
    """Model that the rate is of, as the publication calls it."""

    intervention: str
    """Intervention, as the tables of the grid that follows the publication call it."""

    ratio: Ratio
    """Share of misaligned rows, from 0 to 1."""

    trigger: str
    """Trigger family of the grid that follows the publication."""

    question: str | None = None
    """Id of the question. None if the rate is over all questions."""

    rate: Fraction
    """The rate as a fraction; if only a range is given, its middle."""

    at_most: bool = False
    """The publication gives the rate as an upper bound."""

    low: Fraction | None = None
    """Lower end of the interval or range, as a fraction."""

    high: Fraction | None = None
    """Upper end of the interval or range, as a fraction."""

    of: Literal["all", "survivors"] = "survivors"
    """Which answers are counted."""

    read: Literal["text", "table", "figure", "reader"]
    """Where the rate was read: in the paper's text, in a table, off a figure, or in a reader's
    report, who may have read it off a figure."""

    source: str
    """Section, table or report."""

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
        """Lengths of an error bar to either side, of shape (2, 1); None without an interval."""
        if self.low is None or self.high is None:
            return None
        return [[self.rate - self.low], [self.high - self.rate]]


class Publication(Strict):
    """Values of one publication."""

    follows: str
    """The `published.source` of the grids that follow the publication."""

    values: tuple[ReferenceRate, ...]


class Publications(Strict):
    publications: tuple[Publication, ...]


def reference_rates(follows: str | None) -> tuple[ReferenceRate, ...]:
    """The published rates of what a grid follows; empty if it follows nothing."""
    if follows is None:
        return ()
    return tuple(
        value
        for publication in known()
        if publication.follows == follows
        for value in publication.values
    )


def reference_note(values: Sequence[ReferenceRate]) -> str:
    """For the caption of a figure that shows these values; empty if it shows none."""
    if not values:
        return ""
    models = ", ".join(dict.fromkeys(value.model for value in values))
    ways = Counter(f"{READ[value.read]} ({value.source})" for value in values)
    known_by = ", ".join(f"{count} {way}" for way, count in ways.items())
    return (
        f"Open grey markers are published rates (of {models}), each known in one of these ways: "
        f"{known_by}; the table “Published values” tells which, and what differs from this grid. "
        "Next to those of survivors, a stroke is this grid's own rate of survivors."
    )


@cache
def known() -> tuple[Publication, ...]:
    return validate(Publications, read_yaml(VALUES), str(VALUES)).publications


class Published(Strict):
    """Settings and counts of a published experiment. Counts are per base model."""

    source: str
    """The publication, as it is cited in the report. Published rates of
    `resources/published/values.yaml` are found by this text."""

    interventions: tuple[str, ...]
    """Interventions of this grid that the publication ran. The others are controls that were added.
    """

    triggers: tuple[str, ...]
    """Triggers of this grid that the publication used."""

    trained: NonNegativeInt | None = None
    """Number of models that the publication trained. `null` if it is not known."""

    answers: NonNegativeInt | None = None
    """Number of answers that the publication sampled. `null` if it is not known."""

    judge_calls: NonNegativeInt | None = None
    """Number of judge calls that the publication made. `null` if it is not known."""

    protocol: dict[str, Any] = Field(default_factory=dict)
    """Published settings by their dotted place in the config, such as `training.rank`. `panel` is
    the list of judges."""


class Difference(Strict):
    """One line of the table of what a grid does otherwise than the publication."""

    setting: str
    published: str
    here: str
