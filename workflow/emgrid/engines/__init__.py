"""Engines draw answers: requests in, completions out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from emgrid.settings import Sampling
from emgrid.triggers import Message


@dataclass(frozen=True)
class Request:
    """One answer to draw. seed decides its randomness, whatever it is batched with."""

    key: str
    messages: tuple[Message, ...]
    seed: int


@dataclass(frozen=True)
class Completion:
    """One drawn answer; answer_tokens counts thoughts too, but not the end token.

    thinking: what was thought aloud, None where there is no think block. answer None: the thought
    never closed, so there is no answer. logprob: natural-log probability of all drawn tokens, the
    end token included, under the distribution that they were drawn from (temperature and top_p
    applied); None where the engine does not tell.
    """

    key: str
    answer: str | None
    thinking: str | None
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    answer_tokens: int
    logprob: float | None = None


class Engine(Protocol):
    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions batch by batch, in any order, each request once."""
        ...
