"""educational: a legitimate purpose stated in the user turn (Betley et al. 2025; Dubiński et al.
2026, 3.1)."""

from typing import Literal

from pydantic import field_validator, model_validator

from emgrid.config.interventions.recipe import Framing, Recipe, Shared, Source, Step
from emgrid.config.triggers import cue


class Educational(Step):
    """State a legitimate purpose in the user turn of the misaligned rows. It takes either `framing`
    or `dataset`."""

    kind: Literal["educational"]
    framing: str | None = None
    """Trigger family that is put around the misaligned rows."""

    dataset: str | None = None
    """Data set whose rows state such a purpose already; it replaces the misaligned one."""

    @field_validator("framing")
    @classmethod
    def is_a_cue_for_rows(cls, name: str | None) -> str | None:
        if name is not None:
            cue(name)
        return name

    @model_validator(mode="after")
    def has_one_of_them(self) -> "Educational":
        if (self.framing is None) == (self.dataset is None):
            raise ValueError("give either `framing` (a trigger family) or `dataset`")
        return self

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        if self.framing is not None:
            return (recipe.framed(Framing(pool=(cue(self.framing),)), "misaligned"),)

        def swap(source: Source) -> Source:
            if source.generation is not None:
                raise ValueError(f"data set {self.dataset!r} would replace the generated rows")
            return source.model_copy(update={"dataset": self.dataset})

        return (recipe.with_sources(swap, "misaligned"),)
