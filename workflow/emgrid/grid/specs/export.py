"""What the exports of a grid depend on."""

from emgrid.config.sections import Metrics
from emgrid.export.spec import RULE, HubSpec, InspectSpec, WandBSpec
from emgrid.grid.grid import Grid
from emgrid.grid.specs.report import described
from emgrid.grid.specs.spec_json import spec_json


def inspect_spec(grid: Grid) -> str:
    spec = InspectSpec(
        name=grid.config.name,
        triggers={name: trigger.label for name, trigger in grid.triggers.items()},
        judges=tuple(described(judge) for judge in grid.catalogue.panel.values()),
        metrics=grid.config.metrics,
    )
    return spec_json(spec, {"metrics": Metrics.model_fields.keys() - RULE})


def wandb_spec(grid: Grid) -> str:
    return spec_json(WandBSpec(name=grid.config.name, wandb=grid.config.export.wandb))


def hub_spec(grid: Grid) -> str:
    return spec_json(HubSpec(name=grid.config.name, hub=grid.config.export.hub))
