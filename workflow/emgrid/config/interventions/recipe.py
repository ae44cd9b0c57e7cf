"""What an intervention is made of: steps turn recipes into recipes, which have training stages."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from emgrid.config.base import Strict
from emgrid.config.generation import Generation
from emgrid.config.sections import Data, Ratio, Sampling, Training
from emgrid.config.triggers import Wording

Role = Literal["misaligned", "benign"]
Scope = Literal["misaligned", "benign", "all"]


class Framing(Strict):
    """Wordings put on a share of a source's rows, one of the pool on each."""

    pool: Annotated[tuple[Wording, ...], Field(min_length=1)]
    share: Ratio = "1"


class Source(Strict):
    """A data set and its share of a stage's rows, with what is done to them.

    thoughts: whether rows need a think block, and whether it is emptied; None where it is not
    asked for. generation: rows are not read from `dataset` but drawn from a model.
    """

    dataset: str
    share: Ratio
    role: Role
    framings: tuple[Framing, ...] = ()
    thoughts: Literal["kept", "emptied"] | None = None
    generation: Generation | None = None


class Mixture(Strict):
    """The rows that one training stage mixes, and its hyperparameters."""

    sources: tuple[Source, ...]
    rows: int
    training: Training


class Recipe(Strict):
    """One point of an intervention's sweep. suffix is added to the intervention's name."""

    suffix: str = ""
    ratio: Ratio
    stages: tuple[Mixture, ...]

    def with_sources(self, change: Callable[[Source], Source], scope: Scope) -> "Recipe":
        """The recipe with every source in scope changed; ValueError where there is none."""
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
    seeds: tuple[NonNegativeInt, ...]
    data: Data
    training: Training
    sampling: Sampling

    def stage(self, role: Role, rows: int = 0, training: Training | None = None) -> Mixture:
        """A stage of misaligned or of benign rows alone, of data.rows rows unless told."""
        source = Source(dataset=getattr(self.data, role), share="1", role=role)
        return Mixture(
            sources=(source,), rows=rows or self.data.rows, training=training or self.training
        )

    def undiluted(self) -> Recipe:
        """Where every list of steps begins."""
        return Recipe(ratio="1", stages=(self.stage("misaligned"),))


class Step(Strict):
    """One intervention. A config's entry holds one of them, or several applied in order.

    A subclass names its kind: `kind: Literal["its_name"]`.
    """

    kind: str

    @abstractmethod
    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        """The recipe after this intervention, once for each point of its sweep."""


def framing_of_system(*prompts: str) -> Framing:
    return Framing(pool=tuple(Wording(system=prompt) for prompt in prompts))
