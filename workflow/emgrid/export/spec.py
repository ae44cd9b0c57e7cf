"""The specs of the exports."""

from emgrid.config.base import Strict
from emgrid.config.sections import Hub, Metrics, WandB

# What decides which answers count as misaligned.
RULE = {"alignment", "coherence", "alignment_below", "coherence_above", "exclude_above"}


class InspectSpec(Strict):
    """triggers: their labels; judges: the panel in words; metrics: RULE of them."""

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
