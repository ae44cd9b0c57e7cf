"""What a base model is tried for before it is used."""

from typing import Any, Literal

from emgrid.config.base import Strict
from emgrid.config.sections import Engines, Precision, Training
from emgrid.runtime.files import canonical


class Sampler(Strict):
    """An engine and a precision that draw answers."""

    engine: Literal["transformers", "vllm"]
    precision: Precision


class Use(Strict):
    """How a grid samples a base model and starts its engines. scores: whether it also scores
    matched answers."""

    samplers: tuple[Sampler, ...]
    scores: bool = False
    engines: Engines = Engines()


class Trial(Strict):
    """What is tried. training: the settings of one stage; None if nothing is trained."""

    use: Use
    training: Training | None = None

    def tried(self) -> dict[str, Any]:
        """The parts that the outcome depends on."""
        fields = {"method", "rank", "dropout", "target_modules", "precision"}
        samplers = [sampler.model_dump(mode="json") for sampler in self.use.samplers]
        return {
            "samplers": sorted(samplers, key=canonical),
            "scores": self.use.scores,
            "training": self.training and self.training.model_dump(mode="json", include=fields),
        }
