"""What a published experiment did, so that a ready grid can be compared with it."""

from typing import Any

from pydantic import Field, NonNegativeInt

from emgrid.config.base import Strict


class Published(Strict):
    """The published protocol that a grid follows, per base model.

    interventions, triggers: those of this grid that the publication ran; the rest are controls
    that were added. protocol: settings as published, by their dotted place in the config;
    `panel` stands for the judges with what they are.
    trained, answers, judge_calls: the published counts of fine-tunes, answers and judge calls, if
    they are known.
    """

    source: str
    interventions: tuple[str, ...]
    triggers: tuple[str, ...]
    trained: NonNegativeInt | None = None
    answers: NonNegativeInt | None = None
    judge_calls: NonNegativeInt | None = None
    protocol: dict[str, Any] = Field(default_factory=dict)


class Difference(Strict):
    """One line of the table of what a grid does otherwise than the publication."""

    setting: str
    published: str
    here: str
