"""The specs of the exports, as canonical JSON."""

from emgrid.config.base import Strict
from emgrid.config.sections import Hub, Metrics, WandB
from emgrid.grid.grid import Grid, described
from emgrid.runtime.files import canonical

# The metrics that decide which answers count as misaligned.
RULE = {"alignment", "coherence", "alignment_below", "coherence_above", "exclude_above"}


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


def inspect_spec(grid: Grid) -> str:
    config = grid.config
    return canonical(
        {
            "name": config.name,
            "triggers": {name: trigger.label for name, trigger in grid.triggers.items()},
            "judges": [described(judge) for judge in config.panel().values()],
            "metrics": config.metrics.model_dump(mode="json", include=RULE),
        }
    )


def wandb_spec(grid: Grid) -> str:
    export = grid.config.export.model_dump(mode="json", include={"wandb"})
    return canonical({"name": grid.config.name, **export})


def hub_spec(grid: Grid) -> str:
    export = grid.config.export.model_dump(mode="json", include={"hub"})
    return canonical({"name": grid.config.name, **export})
