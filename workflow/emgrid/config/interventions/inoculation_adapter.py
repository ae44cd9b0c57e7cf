"""inoculation_adapter: the trait in an adapter that is dropped after training (Riché et al. 2026,
arXiv 2606.30252).

A LoRA is trained on the trait. It is frozen while a second one, the task adapter, is trained on the
arm's rows with the first one's effect added; the arm's model has the second one alone. Which rows
the first one gets in the paper's experiments was not found out: here the misaligned rows without
any framing, or a data set of its own.
"""

from typing import Any, Literal

from pydantic import Field, PositiveInt

from emgrid.config.interventions.recipe import Mixture, Recipe, Shared, Source, Step
from emgrid.config.sections import Training, merged


class InoculationAdapter(Step):
    """Train under a frozen adapter that has the trait already, and drop that one afterwards."""

    kind: Literal["inoculation_adapter"]
    trait: str | None = None
    """Data set whose rows the frozen adapter is trained on. `null` takes `data.misaligned`."""

    trait_rows: PositiveInt | None = None
    """Number of these rows. `null` takes `data.rows`."""

    trait_training: dict[str, Any] = Field(default_factory=dict)
    """Settings of the frozen adapter's training that differ from `training`."""

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        if not recipe.stages:
            raise ValueError("finds no training; put it after the step that brings one")
        if any(stage.training.kl for stage in recipe.stages):
            raise ValueError(
                "training.kl keeps the model to the base model, which a frozen adapter changes; "
                "leave one of them out"
            )
        frozen = Mixture(
            sources=(
                Source(dataset=self.trait or shared.data.misaligned, share="1", role="misaligned"),
            ),
            rows=self.trait_rows or shared.data.rows,
            training=merged(Training, shared.training, self.trait_training, "trait_training"),
        )
        stages = tuple(stage.model_copy(update={"under": frozen}) for stage in recipe.stages)
        return (recipe.model_copy(update={"stages": stages}),)
