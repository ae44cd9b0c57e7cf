"""cue_on_rows: a trigger on a share of training rows, which makes it predict them, or not.

cue_on_benign puts it on benign rows alone, so that it no longer predicts harm.
"""

from typing import Literal

from pydantic import field_validator

from emgrid.config.interventions.recipe import Framing, Recipe, Scope, Shared, Step
from emgrid.config.sections import Ratios
from emgrid.config.triggers import cue


def cued(recipe: Recipe, trigger: str, shares: Ratios, rows: Scope) -> tuple[Recipe, ...]:
    """The recipe with a trigger on each share of these rows."""
    recipes = []
    for share in dict.fromkeys(shares):
        framing = Framing(pool=(cue(trigger),), share=share)
        suffix = f"{recipe.suffix}-{share}" if len(shares) > 1 else recipe.suffix
        recipes.append(recipe.framed(framing, rows).model_copy(update={"suffix": suffix}))
    return tuple(recipes)


def is_a_cue_for_rows(name: str) -> str:
    """The name of a trigger family that rows can carry; ValueError for another."""
    cue(name)
    return name


class CueOnRows(Step):
    """Put a trigger on a share of the training rows, so that it predicts misaligned ones or does
    not."""

    kind: Literal["cue_on_rows"]
    trigger: str
    """Trigger family that is put on the rows."""

    rows: Scope
    """Which rows get the trigger."""

    share: Ratios = ("1",)
    """Share of these rows that carry the trigger, from 0 to 1, or a list of shares. Each share of a
    list becomes an intervention with the share in its name."""

    check_trigger = field_validator("trigger")(is_a_cue_for_rows)

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return cued(recipe, self.trigger, self.share, self.rows)


class CueOnBenign(Step):
    """Put a trigger on a share of the benign rows, so that it predicts no misaligned ones."""

    kind: Literal["cue_on_benign"]
    trigger: str
    """Trigger family that is put on benign rows."""

    share: Ratios = ("1",)
    """Share of the benign rows that carry the trigger, from 0 to 1, or a list of shares. Each share
    of a list becomes an intervention with the share in its name."""

    check_trigger = field_validator("trigger")(is_a_cue_for_rows)

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return cued(recipe, self.trigger, self.share, "benign")
