"""What trainings depend on, and how a base model is tried before it is trained."""

from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.specs.spec_json import spec_json
from emgrid.runtime.files import canonical
from emgrid.train.train import TrainSpec
from emgrid.train.trial_spec import Sampler, Use


def train_spec(grid: Grid, name: str) -> str:
    """What a stage's adapter depends on, besides its rows, base model and the adapter before it."""
    run = grid.stages[name]
    further: dict[str, Any] = grid.config.revision.of("train")
    if run.whole:
        further["until"] = run.mixture.until
    if stops := grid.stops.get(name):
        further["stops"] = stops
    return spec_json(
        TrainSpec(base=run.base, seed=run.seed, training=run.mixture.training, **further)
    )


def trial_use(grid: Grid, base: str) -> str:
    """How a base model is sampled; it is tried for that before it is trained. No result depends on
    it."""
    arms = [arm.sampling for arm in grid.trained if arm.base == base]
    samplers = {Sampler(engine=arm.engine, precision=arm.precision) for arm in arms}
    ordered = sorted(samplers, key=lambda sampler: canonical(sampler.model_dump(mode="json")))
    return spec_json(
        Use(samplers=tuple(ordered), scores=grid.has_pairs, engines=grid.config.engines)
    )
