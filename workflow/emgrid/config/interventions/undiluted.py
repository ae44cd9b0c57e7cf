"""undiluted: fine-tuning on misaligned rows alone, what every intervention is measured against."""

from typing import Literal

from emgrid.config.interventions.recipe import Recipe, Shared, Step


class Undiluted(Step):
    """Training on misaligned rows alone, which every intervention is compared with."""

    kind: Literal["undiluted"]

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return (recipe,)
