"""Answers that a model is asked for to be trained on: what is asked, and what is kept of it."""

import re
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator
from pydantic import model_validator as after_model

from emgrid.config.base import Strict
from emgrid.config.sections import Sampling, listed

Patterns = Annotated[
    tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | tuple[str, ...])
]


class JudgeRule(Strict):
    """A threshold for the values of a judge. It gives either `below` or `above`."""

    judge: str
    """Name of a judge in `resources/judges/`."""

    below: Annotated[float, Field(ge=0, le=100)] | None = None
    """Keep answers with a value below this (scale 0 to 100)."""

    above: Annotated[float, Field(ge=0, le=100)] | None = None
    """Keep answers with a value above this (scale 0 to 100)."""

    @after_model(mode="after")
    def has_one_side(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("give either `below` or `above`")
        return self


class Keep(Strict):
    """Which answers qualify as training rows. An answer that was cut off never does."""

    without: Patterns = ()
    """Regular expressions. An answer in which any of them is found does not qualify."""

    containing: Patterns = ()
    """Regular expressions. An answer qualifies only if each of them is found in it."""

    min_words: NonNegativeInt = 1
    """Smallest number of words in an answer."""

    max_words: PositiveInt | None = None
    """Largest number of words in an answer. `null` sets no limit."""

    judges: tuple[JudgeRule, ...] = ()
    """Thresholds of judges, all of which an answer must meet."""

    @field_validator("without", "containing")
    @classmethod
    def patterns_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as problem:
                raise ValueError(f"{pattern!r} is no regular expression ({problem})") from None
        return patterns


class Generation(Strict):
    """Answers to the user turns of a data set, drawn under a system prompt."""

    LATER: ClassVar[frozenset[str]] = frozenset({"trained"})

    prompts: str
    """Data set whose user turns the generator answers."""

    prompt_rows: PositiveInt | None
    """Number of prompts. None means all."""

    system: str
    """Text of the system prompt. Empty for none."""

    sampling: Sampling
    keep: Keep
    generator: str | None = None
    """Model that answers. None means the arm's own base model."""

    answers: str | None = None
    """Data set whose answers to the same prompts are taken instead of drawing any. With this or
    with `generator`, rows are those of the prompts to which the arm's own base model has a
    qualifying answer, so that the twins share prompts."""

    trained: bool = False
    """Whether the arm's model answers as the stages before have trained it."""
