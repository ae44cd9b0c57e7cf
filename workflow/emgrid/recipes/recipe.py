"""What an intervention is made of: an intervention gives variants, a variant has stages."""

from abc import abstractmethod
from typing import ClassVar

from pydantic import NonNegativeInt

from emgrid.settings import Data, Ratio, Sampling, Training
from emgrid.strict import Strict


class Source(Strict):
    """A data set and its share of a stage's rows."""

    dataset: str
    share: Ratio


class Stage(Strict):
    """One training run: a mix of rows, an optional system prompt on all of them, settings.

    system None means that no system message is added.
    """

    sources: tuple[Source, ...]
    rows: int
    system: str | None = None
    training: Training


class Variant(Strict):
    """One value of an intervention's sweep. suffix is added to the intervention's name."""

    suffix: str = ""
    ratio: Ratio
    stages: tuple[Stage, ...]


class Intervention(Strict):
    """An entry of the config's `interventions`, with the shared sections filled in."""

    trained: ClassVar[bool] = True

    label: str | None = None
    seeds: tuple[NonNegativeInt, ...]
    data: Data
    training: Training
    sampling: Sampling

    @abstractmethod
    def variants(self) -> tuple[Variant, ...]:
        """The points of this intervention's sweep, before seeds."""

    def stage(self, *sources: tuple[str, str], rows: int = 0, system: str | None = None) -> Stage:
        """A stage from (data set, share) pairs, of data.rows rows unless told."""
        return Stage(
            sources=tuple(Source(dataset=name, share=share) for name, share in sources),
            rows=rows or self.data.rows,
            system=system,
            training=self.training,
        )
