"""Interventions, one module each. Every module of this folder is loaded."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import Field, model_validator

from emgrid.config.interventions.recipe import Recipe, Shared, Source, Step

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")


def kinds_below(model: type[Step]) -> Iterator[type[Step]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from kinds_below(subclass)


KINDS: dict[str, type[Step]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model
    for model in kinds_below(Step)  # type: ignore[type-abstract]
}
if TYPE_CHECKING:
    AnyStep = Step
else:
    AnyStep = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007


class Intervention(Shared):
    """An entry of the config's `interventions`: steps applied in order, beginning from the
    misaligned rows alone."""

    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1)]
    """Interventions that are applied in order, each with its `kind`. A list in place of the entry
    is the same."""

    @model_validator(mode="after")
    def steps_fit_together(self) -> "Intervention":
        if "base" in self.kinds and len(self.steps) > 1:
            raise ValueError("base is the model as it is; it cannot be combined with others")
        for recipe in self.recipes() if "from_adapter" in self.kinds else ():
            if recipe.adapter is None or not recipe.stages:
                raise ValueError(
                    "an adapter that is not trained further is an arm by its entry in `adapters`; "
                    "give `then`, or a later step such as sequential, which adds rows"
                )
        names = [(recipe.suffix, recipe.ratio) for recipe in self.recipes()]
        for suffix, ratio in names:
            if names.count((suffix, ratio)) > 1:
                raise ValueError(
                    f"these steps make ratio {ratio}{suffix} more than once; leave out the sweep "
                    "that a later step undoes"
                )
        for stage in (stage for recipe in self.recipes() for stage in recipe.stages):
            used = [source.dataset for source in stage.sources if source.generation is None]
            for name in used:
                if used.count(name) > 1:
                    raise ValueError(
                        f"data set {name!r} is both misaligned and benign in one stage"
                    )
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(step.kind for step in self.steps)

    def sources(self) -> list[Source]:
        stages = [stage for recipe in self.recipes() for stage in recipe.mixtures]
        return [source for stage in stages for source in stage.sources]

    def recipes(self) -> tuple[Recipe, ...]:
        """The points of this intervention's sweep, before seeds."""
        recipes: tuple[Recipe, ...] = (self.undiluted(),)
        for step in self.steps:
            try:
                recipes = tuple(
                    changed for recipe in recipes for changed in step.apply(recipe, self)
                )
            except ValueError as problem:
                which = f"{step.kind}: " if len(self.steps) > 1 else ""
                raise ValueError(f"{which}{problem}") from None
        return recipes
