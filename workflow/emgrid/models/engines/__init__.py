"""Engines draw answers: requests in, completions out."""

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
    """One answer to draw. seed decides its randomness, whatever it is batched with.

    adapter: the folder of the adapter that the base model has; None for the base model itself.
    """

    key: str
    messages: tuple[Message, ...]
    seed: int
    adapter: Path | None = None


@dataclass(frozen=True)
class Completion:
    """One drawn answer; answer_tokens counts thoughts too, but not the end token.

    thinking: what was thought aloud, None where there is no think block. answer None: the thought
    never closed, or an endpoint's filter let nothing through, so there is no answer. finish_reason
    content_filter: the filter withheld it, or the rest of it. logprob: natural-log probability of
    all drawn tokens, the end token included, under the distribution that they were drawn from
    (temperature and top_p applied); None where the engine does not tell. cost: USD that was paid
    for it, None where the price is unknown.
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
        """What is kept of it."""
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
    """What was drawn, as text; tokens hold the end token where one was drawn."""
    ended = bool(tokens) and tokens[-1] in chat.eos_token_ids
    said = list(tokens[:-1] if ended else tokens)
    text = chat.tokenizer.decode(said, skip_special_tokens=True)
    opened = chat.opens_thought(list(request.messages), sampling.thinking)
    thoughts, answer = split_thinking(text, opened)
    return Completion(
        key=request.key,
        answer=answer,
        thinking=thoughts,
        finish_reason="stop" if ended else "length",
        prompt_tokens=prompt_tokens,
        answer_tokens=len(said),
        logprob=logprob,
    )
