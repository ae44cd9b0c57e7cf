"""The engine and the number of jobs that `auto` stands for in a grid."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveInt

from emgrid.config.base import Strict

AUTO = "auto"
EngineName = Literal["transformers", "vllm"]


def known_engine(value: Any) -> Any:
    if value not in ("transformers", "vllm"):
        raise ValueError(f"{value!r} is none of auto, transformers and vllm")
    return value


# `auto` is replaced before a config is validated, so settings that are in use never hold it.
Engine = Annotated[
    EngineName,
    BeforeValidator(known_engine, json_schema_input_type=Literal["auto", "transformers", "vllm"]),
]
Jobs = Annotated[
    PositiveInt,
    BeforeValidator(lambda value: value, json_schema_input_type=PositiveInt | Literal["auto"]),
]


class EngineChoice(Strict):
    """engine: draws the answers. jobs: among how many jobs the arms of a base model are shared out.
    why: in words, what the choice follows from."""

    engine: EngineName
    jobs: PositiveInt
    why: str

    @property
    def text(self) -> str:
        """The choice in a sentence."""
        name = {"vllm": "vLLM", "transformers": "transformers"}[self.engine]
        number = "1 job" if self.jobs == 1 else f"{self.jobs} jobs"
        return f"auto: answers are drawn with {name}, by {number} for each base model: {self.why}"
