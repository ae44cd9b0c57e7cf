"""Answers that a model is asked for to be trained on: what is asked, and what is kept of it."""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator
from pydantic import model_validator as after_model

from emgrid.config.base import Strict
from emgrid.config.sections import Sampling, listed

Patterns = Annotated[
    tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | tuple[str, ...])
]


class JudgeRule(Strict):
    """Keep what a judge of resources/judges/ values below, or above, a threshold (0 to 100)."""

    judge: str
    below: Annotated[float, Field(ge=0, le=100)] | None = None
    above: Annotated[float, Field(ge=0, le=100)] | None = None

    @after_model(mode="after")
    def has_one_side(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("give either `below` or `above`")
        return self


class Keep(Strict):
    """Which answers qualify: regular expressions, words, judges. A cut-off answer never does.

    without, containing: patterns of which no one, or every one, may be found in the answer.
    """

    without: Patterns = ()
    containing: Patterns = ()
    min_words: NonNegativeInt = 1
    max_words: PositiveInt | None = None
    judges: tuple[JudgeRule, ...] = ()

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
    """Answers to the user turns of a data set, drawn under a system prompt.

    generator: the model that answers (None: the arm's own base). answers: a data set whose answers
    to the same prompts are taken instead of drawing any. With either, rows are those of the
    prompts to which the arm's own base has a qualifying answer, so that the twins share prompts.
    """

    prompts: str
    prompt_rows: PositiveInt | None
    system: str
    sampling: Sampling
    keep: Keep
    generator: str | None = None
    answers: str | None = None
