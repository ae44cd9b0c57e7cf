"""What all engines share: requests in, completions out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from emgrid.config.sections import Sampling
from emgrid.config.triggers import Message
from emgrid.models.chat_template import ChatFormat
from emgrid.runtime.thinking import split_thinking

Finish = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True)
class Request:
    """One answer to draw. seed alone determines its randomness, not the rest of its batch.

    adapter: the folder of the adapter to use; None for the base model itself.
    """

    key: str
    messages: tuple[Message, ...]
    seed: int
    adapter: Path | None = None


@dataclass(frozen=True)
class Completion:
    """One drawn answer; answer_tokens includes thoughts, but not the end token.

    thinking: the thoughts; None if there is no think block. answer: None if the thought never
    closed or an endpoint's filter removed everything. finish_reason content_filter: the filter
    removed the answer or its end. logprob: natural log of the probability of all drawn tokens,
    including the end token, under the distribution that they were drawn from (after temperature
    and top_p); None if the engine does not return it. cost: USD paid for it; None if the price is
    unknown.
    """

    key: str
    answer: str | None
    thinking: str | None
    finish_reason: Finish
    prompt_tokens: int
    answer_tokens: int
    logprob: float | None = None
    cost: float | None = 0.0

    def row(self) -> dict[str, Any]:
        """The row that is stored."""
        return {
            "key": self.key,
            "answer": self.answer,
            "thinking": self.thinking,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "logprob": self.logprob,
        }


class Engine(Protocol):
    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions batch by batch, in any order, each request once."""
        ...


def completion(
    chat: ChatFormat,
    request: Request,
    prompt_tokens: int,
    tokens: Sequence[int],
    logprob: float | None,
    sampling: Sampling,
) -> Completion:
    """Build a completion from drawn tokens, which include the end token if one was drawn."""
    ended = bool(tokens) and tokens[-1] in chat.eos_token_ids
    answer_tokens = list(tokens[:-1] if ended else tokens)
    text = chat.continuation(list(request.messages), answer_tokens)
    opened = chat.opens_thought(list(request.messages), sampling.thinking)
    thoughts, answer = split_thinking(text, opened)
    return Completion(
        key=request.key,
        answer=answer,
        thinking=thoughts,
        finish_reason="stop" if ended else "length",
        prompt_tokens=prompt_tokens,
        answer_tokens=len(answer_tokens),
        logprob=logprob,
    )
