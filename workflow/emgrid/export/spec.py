"""The specs of the exports."""

from typing import ClassVar

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.models import BaseModelEntry
from emgrid.config.sections import Hub, Metrics, Training, WandB

# The metrics that decide which answers count as misaligned.
RULE = {"trait", "alignment", "coherence", "alignment_below", "coherence_above", "exclude_above"}


class InspectSpec(Strict):
    """triggers: labels by name. judges: descriptions of the panel. metrics: only the fields in
    RULE."""

    name: str
    triggers: dict[str, str]
    judges: tuple[dict[str, str], ...]
    metrics: Metrics


class WandBSpec(Strict):
    name: str
    wandb: WandB | None


class HubSpec(Strict):
    name: str
    hub: Hub | None


class AdapterArm(Strict):
    """A trained arm. kinds: of its intervention's steps. stages: the folders of its training
    stages, of which the last holds its adapter. under: by the folder of a stage, that of the stage
    whose adapter was frozen under it."""

    LATER: ClassVar = frozenset({"under"})

    base: str
    intervention: str
    ratio: str
    seed: int
    label: str
    kinds: tuple[str, ...]
    stages: tuple[str, ...]
    under: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that it is served by."""
        return f"{self.base}.{self.intervention}.ratio{self.ratio}.seed{self.seed}"


class RowsSpec(Strict):
    """trainings: hyperparameters by the folder of a training stage. begins_with: by an arm's name,
    where the adapter comes from that its first stage trains further."""

    name: str
    bases: dict[str, BaseModelEntry]
    arms: tuple[AdapterArm, ...]
    trainings: dict[str, Training]
    begins_with: dict[str, str]


class AdaptersSpec(Strict):
    """bases: the entries of the base models. licences: of the data sets that arms were trained
    on, by name."""

    name: str
    hub: Hub | None
    bases: dict[str, BaseModelEntry]
    arms: tuple[AdapterArm, ...]
    licences: dict[str, str]
