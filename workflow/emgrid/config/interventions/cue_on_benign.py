"""cue_on_benign: the trigger on a share of benign rows, so that it no longer predicts harm."""

from typing import Literal

from pydantic import field_validator

from emgrid.config.interventions.recipe import Framing, Recipe, Shared, Step
from emgrid.config.sections import Ratios
from emgrid.config.triggers import cue


class CueOnBenign(Step):
    """Put a trigger on a share of the benign rows, so that it predicts no misaligned ones."""

    kind: Literal["cue_on_benign"]
    trigger: str
    """Trigger family that is put on benign rows."""

    share: Ratios = ("1",)
    """Share of the benign rows that carry the trigger, from 0 to 1, or a list of shares. Each share
    of a list becomes an intervention with the share in its name."""

    @field_validator("trigger")
    @classmethod
    def is_a_cue_for_rows(cls, name: str) -> str:
        cue(name)
        return name

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        swept = len(self.share) > 1
        recipes = []
        for share in dict.fromkeys(self.share):
            framing = Framing(pool=(cue(self.trigger),), share=share)
            suffix = f"{recipe.suffix}-{share}" if swept else recipe.suffix
            recipes.append(recipe.framed(framing, "benign").model_copy(update={"suffix": suffix}))
        return tuple(recipes)
