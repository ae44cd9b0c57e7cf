"""on_policy: training on the base model's own answers (Dubiński et al. 2026, 4.1).

The arm's base model answers the prompts under the inoculation prompt, what qualifies is kept, and
the arm is trained on it under the same prompt. off_policy is its twin: another generator's answers
to the same prompts.
"""

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from emgrid.config.generation import Generation, Keep
from emgrid.config.interventions.recipe import Recipe, Shared, Source, Step, framing_of_system
from emgrid.config.sections import Sampling, merged
from emgrid.config.triggers import system_prompt


class OnPolicy(Step):
    """prompts: the data set whose user turns are asked. prompt: the trigger family whose system
    prompt stands over them, in generation and in training. prompt_rows: how many are asked (all
    where it is not given). generation_sampling: settings that differ from `sampling`.
    keep: what qualifies.
    """

    kind: Literal["on_policy"]
    prompts: str
    prompt: str
    prompt_rows: PositiveInt | None = None
    keep: Keep = Keep()
    generation_sampling: dict[str, Any] = Field(default_factory=dict)

    @field_validator("prompt")
    @classmethod
    def names_a_system_prompt(cls, name: str) -> str:
        system_prompt(name)
        return name

    def generation(self, shared: Shared) -> Generation:
        return Generation(
            prompts=self.prompts,
            prompt_rows=self.prompt_rows,
            system=system_prompt(self.prompt),
            sampling=merged(
                Sampling,
                shared.sampling.model_copy(update={"answers_per_question": 1}),
                self.generation_sampling,
                "generation_sampling",
            ),
            keep=self.keep,
        )

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        generation = self.generation(shared)

        def draw(source: Source) -> Source:
            return source.model_copy(update={"dataset": self.kind, "generation": generation})

        framing = framing_of_system(system_prompt(self.prompt))
        return (recipe.with_sources(draw, "misaligned").framed(framing, "misaligned"),)


class OffPolicy(OnPolicy):
    """generator: a base model that answers the prompts instead; or answers: a data set that holds
    another generator's answers to them. Everything else must be as in the on_policy twin."""

    kind: Literal["off_policy"]  # type: ignore[assignment]
    generator: str | None = None
    answers: str | None = None

    @model_validator(mode="after")
    def has_one_other_generator(self) -> "OffPolicy":
        if (self.generator is None) == (self.answers is None):
            raise ValueError("give either `generator` (a model) or `answers` (a data set)")
        return self

    def generation(self, shared: Shared) -> Generation:
        other = {"generator": self.generator, "answers": self.answers}
        return super().generation(shared).model_copy(update=other)
