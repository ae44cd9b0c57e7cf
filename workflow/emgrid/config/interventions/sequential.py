"""sequential: benign fine-tuning after the misaligned stage (Dubiński et al. 2026, 2.3)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt

from emgrid.config.interventions.recipe import Recipe, Shared, Step
from emgrid.config.sections import Training, by_size, listed, merged


class Sequential(Step):
    """benign_rows: rows of the added stage, one value or a list; each becomes an intervention.

    benign_training: settings of the added stage that differ from `training`.
    """

    kind: Literal["sequential"]
    benign_rows: Annotated[
        tuple[PositiveInt, ...],
        BeforeValidator(listed, json_schema_input_type=PositiveInt | tuple[PositiveInt, ...]),
        AfterValidator(by_size),
        Field(min_length=1),
    ]
    benign_training: dict[str, Any] = Field(default_factory=dict)

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        training = merged(Training, shared.training, self.benign_training, "benign_training")
        return tuple(
            recipe.model_copy(
                update={
                    "suffix": f"{recipe.suffix}-{rows}",
                    "stages": (*recipe.stages, shared.stage("benign", rows, training)),
                }
            )
            for rows in self.benign_rows
        )
