"""What a published experiment did, so that a ready grid can be compared with it."""

from typing import Any

from pydantic import Field, NonNegativeInt

from emgrid.config.base import Strict


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
