"""The points of dose curves, as in the specs of jobs."""

from emgrid.config.base import Strict

ArmName = tuple[str, str, str]  # base, intervention, ratio


class Point(Strict):
    """An arm without its seed, and its dose."""

    arm: ArmName
    dose: float


class Series(Strict):
    """Points of one family in order of dose. family: its intervention without the sweep."""

    base: str
    family: str
    label: str
    points: tuple[Point, ...]
