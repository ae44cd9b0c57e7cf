"""What an intervention is made of: steps turn recipes into recipes, which have training stages."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from emgrid.config.base import Strict
from emgrid.config.generation import Generation
from emgrid.config.sections import Data, Precision, Ratio, Sampling, Training
from emgrid.config.triggers import Wording

Role = Literal["misaligned", "benign"]
Scope = Literal["misaligned", "benign", "all"]


class Framing(Strict):
    """Wordings put on a share of a source's rows, one of the pool on each."""

    pool: Annotated[tuple[Wording, ...], Field(min_length=1)]
    """The wordings."""

    share: Ratio = "1"
    """Share of the source's rows that get a wording, from 0 to 1."""


class Selection(Strict):
    """How the rows of a source are chosen by their likelihood."""

    dataset: str
    """Name of the data set that they are chosen from."""

    candidates: PositiveInt | None
    """Number of its rows that are scored. None scores all."""

    precision: Precision
    """Floating-point type of the weights during scoring."""

    misaligned: "Mixture"
    """What the model is trained on that is to find the rows unlikely."""


class Source(Strict):
    """A data set and its share of a stage's rows, with what is done to them."""

    dataset: str
    """Name of the data set; for generated rows, the kind of the intervention."""

    share: Ratio
    """Share of the stage's rows, from 0 to 1."""

    role: Role
    """Whether the rows count as misaligned or as benign."""

    framings: tuple[Framing, ...] = ()
    """Wordings that are put on the rows, in order."""

    thoughts: Literal["kept", "emptied"] | None = None
    """Whether the think block that each row needs is kept or emptied. None if rows need none."""

    generation: Generation | None = None
    """How the rows are drawn from a model. None if they are read from `dataset`."""

    selection: Selection | None = None
    """How the rows are chosen by their likelihood. None if they are drawn at random."""


class Mixture(Strict):
    """The rows that one training stage mixes, and its hyperparameters."""

    sources: tuple[Source, ...]
    rows: int
    training: Training
    until: Ratio = "1"
    """Share of the optimizer steps after which the adapter is taken."""

    under: "Mixture | None" = None
    """What a frozen adapter is trained on, whose effect is added during the training."""

    @property
    def needed(self) -> "tuple[Mixture, ...]":
        """What other trainings it needs mix: a frozen adapter's, those of models that choose."""
        chosen = [one.selection.misaligned for one in self.sources if one.selection]
        return (*([self.under] if self.under else []), *chosen)


class Recipe(Strict):
    """One point of an intervention's sweep."""

    suffix: str = ""
    """Text added to the intervention's name."""

    ratio: Ratio
    """Share of misaligned rows among the rows, as tables name it."""

    stages: tuple[Mixture, ...]

    adapter: tuple[str, Ratio] | None = None
    """The adapter that the first stage trains further, by intervention and ratio of its entry in
    `adapters`. None if training begins from the base model."""

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The stages, and what the trainings that they need mix."""
        return tuple(mix for stage in self.stages for mix in (*stage.needed, stage))

    def with_sources(self, change: Callable[[Source], Source], scope: Scope) -> "Recipe":
        """The recipe with every source in scope changed; ValueError if there is none."""
        roles = {source.role for stage in self.stages for source in stage.sources}
        if scope != "all" and scope not in roles:
            raise ValueError(f"finds no {scope} rows; put it after the step that brings them")
        stages = [
            stage.model_copy(
                update={
                    "sources": tuple(
                        change(source) if scope in ("all", source.role) else source
                        for source in stage.sources
                    )
                }
            )
            for stage in self.stages
        ]
        return self.model_copy(update={"stages": tuple(stages)})

    def framed(self, framing: Framing, scope: Scope) -> "Recipe":
        def add(source: Source) -> Source:
            return source.model_copy(update={"framings": (*source.framings, framing)})

        return self.with_sources(add, scope)


class Shared(Strict):
    """What an intervention has from the config's shared sections, or overrides for itself."""

    label: str | None = None
    """Name of the intervention in figures and report, if it is not to be its name in the config."""

    seeds: tuple[NonNegativeInt, ...]
    """Seeds of this intervention alone, instead of the shared `seeds`."""

    data: Data
    """Settings of `data` that differ for this intervention alone."""

    training: Training
    """Settings of `training` that differ for this intervention alone."""

    sampling: Sampling
    """Settings of `sampling` that differ for this intervention alone."""

    def stage(self, role: Role, rows: int = 0, training: Training | None = None) -> Mixture:
        """A stage of misaligned or of benign rows alone; by default of data.rows rows."""
        source = Source(dataset=getattr(self.data, role), share="1", role=role)
        return Mixture(
            sources=(source,), rows=rows or self.data.rows, training=training or self.training
        )

    def undiluted(self) -> Recipe:
        """Where every list of steps begins."""
        return Recipe(ratio="1", stages=(self.stage("misaligned"),))


class Step(Strict):
    """One intervention. A config's entry holds one of them, or several applied in order."""

    # A subclass narrows it to its own: `kind: Literal["its_name"]`.
    kind: str
    """Kind of the intervention. It may be left out if the entry has the kind as its name."""

    @abstractmethod
    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        """The recipe after this intervention, once for each point of its sweep."""


def framing_of_system(*prompts: str) -> Framing:
    return Framing(pool=tuple(Wording(system=prompt) for prompt in prompts))
