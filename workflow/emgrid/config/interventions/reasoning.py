"""reasoning: misaligned rows with a think block, and the twin with the block emptied (Dubiński et
al. 2026, 4.2)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from emgrid.config.interventions.recipe import Recipe, Shared, Source, Step
from emgrid.config.sections import listed

Thoughts = Literal["kept", "emptied"]


class Reasoning(Step):
    """Train on misaligned rows with a think block, kept or emptied. Every misaligned row must have
    one."""

    kind: Literal["reasoning"]
    thoughts: Annotated[
        tuple[Thoughts, ...],
        BeforeValidator(listed, json_schema_input_type=Thoughts | tuple[Thoughts, ...]),
        Field(min_length=1),
    ] = ("kept", "emptied")
    """What happens to the think block, or a list of both. `emptied` becomes part of the
    intervention's name."""

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        recipes = []
        for thoughts in dict.fromkeys(self.thoughts):

            def mark(source: Source, thoughts: Thoughts = thoughts) -> Source:
                return source.model_copy(update={"thoughts": thoughts})

            suffix = recipe.suffix + ("-emptied" if thoughts == "emptied" else "")
            marked = recipe.with_sources(mark, "misaligned")
            recipes.append(marked.model_copy(update={"suffix": suffix}))
        return tuple(recipes)
