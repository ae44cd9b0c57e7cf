"""The specs of the exports."""

from emgrid.config.base import Strict
from emgrid.config.sections import Hub, Metrics, WandB

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
