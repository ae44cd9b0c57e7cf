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
    """Train on the base model's own answers, which it gives under a system prompt. The same prompt
    is put on the training rows."""

    kind: Literal["on_policy"]
    prompts: str
    """Data set whose user turns are asked."""

    prompt: str
    """Trigger family whose system prompt is used when answers are drawn and in training."""

    prompt_rows: PositiveInt | None = None
    """Number of prompts that are asked. `null` asks all."""

    keep: Keep = Keep()
    """Which answers qualify as training rows."""

    generation_sampling: dict[str, Any] = Field(default_factory=dict)
    """Settings that differ from `sampling` when the training answers are drawn. One answer per
    prompt is drawn unless `answers_per_question` says otherwise."""

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
    """Train on another generator's answers to the prompts that the `on_policy` twin kept;
    everything else must be as there. It takes either `generator` or `answers`."""

    kind: Literal["off_policy"]  # type: ignore[assignment]
    generator: str | None = None
    """Base model that answers the prompts instead."""

    answers: str | None = None
    """Data set with another generator's answers to the same prompts."""

    @model_validator(mode="after")
    def has_one_other_generator(self) -> "OffPolicy":
        if (self.generator is None) == (self.answers is None):
            raise ValueError("give either `generator` (a model) or `answers` (a data set)")
        return self

    def generation(self, shared: Shared) -> Generation:
        other = {"generator": self.generator, "answers": self.answers}
        return super().generation(shared).model_copy(update=other)
