"""benign_only: fine-tuning on benign rows alone, the control for fine-tuning at all."""

from typing import Literal

from emgrid.config.interventions.recipe import Recipe, Shared, Step


class BenignOnly(Step):
    """Training on benign rows alone: the control for fine-tuning at all."""

    kind: Literal["benign_only"]

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return (Recipe(ratio="0", stages=(shared.stage("benign"),)),)
