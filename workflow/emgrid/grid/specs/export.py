"""What the exports of a grid depend on."""

from emgrid.config.sections import Metrics
from emgrid.export.spec import (
    RULE,
    AdapterArm,
    AdaptersSpec,
    HubSpec,
    InspectSpec,
    RowsSpec,
    WandBSpec,
)
from emgrid.grid.grid import Grid
from emgrid.grid.specs.report import described
from emgrid.grid.specs.spec_json import spec_json
from emgrid.runtime import layout


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


def training_rows(grid: Grid) -> RowsSpec:
    """The grid's trained arms, with what a training elsewhere must know of their rows."""
    spec = adapters(grid)
    starts = {arm.folder: arm.start.entry.origin for arm in grid.arms if arm.start}
    folders = {one.name: layout.arm_folder(**cell_of(one)) for one in spec.arms}
    return RowsSpec(
        name=spec.name,
        bases=spec.bases,
        arms=spec.arms,
        trainings={run.folder: run.mixture.training for run in grid.stages.values()},
        begins_with={name: starts[at] for name, at in folders.items() if at in starts},
    )


def cell_of(arm: AdapterArm) -> dict[str, str]:
    return {
        "base": arm.base,
        "intervention": arm.intervention,
        "ratio": arm.ratio,
        "seed": str(arm.seed),
    }


def adapters_spec(grid: Grid) -> str:
    return spec_json(adapters(grid))


def adapters(grid: Grid) -> AdaptersSpec:
    """The grid's trained arms, with all that a reader of their adapters must know."""
    arms = [arm for arm in grid.arms if arm.stages and arm.settings is not None]
    used = {
        source.selection.dataset if source.selection else source.dataset
        for arm in arms
        for run in (*arm.stages, *(run.under for run in arm.stages if run.under))
        for source in run.mixture.sources
    }
    return AdaptersSpec(
        name=grid.config.name,
        hub=grid.config.export.hub,
        bases={base: grid.catalogue.models[base] for base in dict.fromkeys(a.base for a in arms)},
        arms=tuple(
            AdapterArm(
                base=arm.base,
                intervention=arm.intervention,
                ratio=arm.ratio,
                seed=arm.seed,
                label=arm.label,
                kinds=arm.settings.kinds if arm.settings else (),
                stages=tuple(run.folder for run in arm.stages),
                under={run.folder: run.under.folder for run in arm.stages if run.under},
            )
            for arm in arms
        ),
        licences={
            name: dataset.licence
            for name, dataset in grid.catalogue.datasets.items()
            if name in used and dataset.licence
        },
    )
