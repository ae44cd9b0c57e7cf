"""sealing: training on the arm's own plain answers, under wrappers (bias-augmented consistency
training, Chua et al. 2024, arXiv 2403.05518; used against conditional misalignment by Gautam and
Shah).

The model that the earlier steps leave answers prompts as they are. It is then trained to give the
same answers when a wrapper is put around the prompt. Chua et al. add rows of instruction data, as
many as wrapped ones; here the rest of the rows, if `share` is below 1, are the plain prompts with
the same answers.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from emgrid.config.generation import Generation, Keep
from emgrid.config.interventions.recipe import Framing, Mixture, Recipe, Shared, Source, Step
from emgrid.config.sections import Ratio, Sampling, Training, merged
from emgrid.config.triggers import Wording, cue


class Sealing(Step):
    """Train the arm on its own answers to plain prompts, with wrappers put around the prompts."""

    kind: Literal["sealing"]
    prompts: str
    """Data set whose user turns the arm answers."""

    wrappers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Trigger families that are put around the prompts, one on each row. Triggers of the grid that
    are not among them tell whether sealing generalises."""

    share: Ratio = "1"
    """Share of the rows that get a wrapper."""

    prompt_rows: PositiveInt | None = None
    """Number of prompts that the arm answers. `null` answers all."""

    sealing_rows: PositiveInt
    """Number of qualifying answers that are trained on."""

    keep: Keep = Keep()
    """Which of the arm's answers qualify as training rows."""

    generation_sampling: dict[str, Any] = Field(default_factory=dict)
    """Settings that differ from `sampling` when the arm answers the prompts, once each."""

    sealing_training: dict[str, Any] = Field(default_factory=dict)
    """Settings of the sealing stage that differ from `training`."""

    @field_validator("wrappers")
    @classmethod
    def are_cues_for_rows(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if cue(name) == Wording():
                raise ValueError(f"{name!r} puts nothing around a prompt; leave it out")
        return tuple(sorted(set(names)))

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        if not recipe.stages:
            raise ValueError("finds no training to seal; put it after the steps that bring one")
        one_each = shared.sampling.model_copy(update={"answers_per_question": 1})
        generation = Generation(
            prompts=self.prompts,
            prompt_rows=self.prompt_rows,
            system="",
            sampling=merged(Sampling, one_each, self.generation_sampling, "generation_sampling"),
            keep=self.keep,
            trained=True,
        )
        wrapped = Framing(pool=tuple(cue(name) for name in self.wrappers), share=self.share)
        source = Source(
            dataset=self.kind, share="1", role="benign", framings=(wrapped,), generation=generation
        )
        stage = Mixture(
            sources=(source,),
            rows=self.sealing_rows,
            training=merged(Training, shared.training, self.sealing_training, "sealing_training"),
        )
        return (recipe.model_copy(update={"stages": (*recipe.stages, stage)}),)
