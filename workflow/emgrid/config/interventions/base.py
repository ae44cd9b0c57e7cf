"""base: the model as it is, the control of every contrast against training."""

from typing import Literal

from emgrid.config.interventions.recipe import Recipe, Shared, Step


class Base(Step):
    """The model as it is, without training: the control of every comparison."""

    kind: Literal["base"]

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return (Recipe(ratio="0", stages=()),)
