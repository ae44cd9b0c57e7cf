"""cue_on_benign: the trigger on a share of benign rows, so that it no longer predicts harm."""

from typing import Literal

from pydantic import field_validator

from emgrid.config.interventions.recipe import Framing, Recipe, Shared, Step
from emgrid.config.sections import Ratios
from emgrid.config.triggers import cue


class CueOnBenign(Step):
    """trigger: the family put on benign rows. share: of them, one value or a list; a swept share
    becomes part of the intervention's name."""

    kind: Literal["cue_on_benign"]
    trigger: str
    share: Ratios = ("1",)

    @field_validator("trigger")
    @classmethod
    def can_stand_on_rows(cls, name: str) -> str:
        cue(name)
        return name

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        swept = len(self.share) > 1
        made = []
        for share in dict.fromkeys(self.share):
            framing = Framing(pool=(cue(self.trigger),), share=share)
            suffix = f"{recipe.suffix}-{share}" if swept else recipe.suffix
            made.append(recipe.framed(framing, "benign").model_copy(update={"suffix": suffix}))
        return tuple(made)
