"""early_stop: the adapter after a part of the steps (Schreiber & Goldstein 2026, arXiv 2605.12199).

They save checkpoints during fine-tuning, and find that emergent misalignment comes after the task
is learned. One training serves all fractions: its learning rate follows the schedule of the whole
training, and its steps are the first ones of the whole training, bit by bit.
"""

from decimal import Decimal
from typing import Literal

from pydantic import field_validator

from emgrid.config.interventions.recipe import Recipe, Shared, Step
from emgrid.config.sections import Ratios


class EarlyStop(Step):
    """Take the adapter as it is after a part of the last stage's optimizer steps."""

    kind: Literal["early_stop"]
    fraction: Ratios
    """Share of the steps, above 0 and up to 1, or a list of shares, all of which come from one
    training. Each share of a list becomes an intervention with the share in its name."""

    @field_validator("fraction")
    @classmethod
    def begins(cls, fractions: tuple[str, ...]) -> tuple[str, ...]:
        if "0" in fractions:
            raise ValueError("0 steps leave the base model; use `base`, or a fraction above 0")
        return fractions

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        if not recipe.stages:
            raise ValueError("finds no training to stop")
        *before, last = recipe.stages
        recipes = []
        for fraction in self.fraction:
            until = f"{(Decimal(last.until) * Decimal(fraction)).normalize():f}"
            suffix = f"{recipe.suffix}-{fraction}" if len(self.fraction) > 1 else recipe.suffix
            stages = (*before, last.model_copy(update={"until": until}))
            recipes.append(recipe.model_copy(update={"suffix": suffix, "stages": stages}))
        return tuple(recipes)
