"""sequential: benign fine-tuning after the misaligned stage (Dubiński et al. 2026, 2.3)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt

from emgrid.config.interventions.recipe import Recipe, Shared, Step
from emgrid.config.sections import Training, by_size, listed, merged


class Sequential(Step):
    """Add a stage of benign rows after the other stages. What comes before is trained once and
    shared."""

    kind: Literal["sequential"]
    benign_rows: Annotated[
        tuple[PositiveInt, ...],
        BeforeValidator(listed, json_schema_input_type=PositiveInt | tuple[PositiveInt, ...]),
        AfterValidator(by_size),
        Field(min_length=1),
    ]
    """Number of rows in the added stage, or a list of numbers. Each one becomes an intervention
    with the number in its name."""

    benign_training: dict[str, Any] = Field(default_factory=dict)
    """Settings of the added stage that differ from `training`."""

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
