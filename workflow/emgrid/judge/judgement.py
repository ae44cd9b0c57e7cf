"""What is judged, and what a judge says of it: a value, or the reason why there is none."""

from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal[
    "empty_answer",
    "truncated_thought",
    "content_filter",
    "refusal",
    "code",
    "low_mass",
    "unparseable",
    "endpoint_error",
    "not_judged",
]


@dataclass(frozen=True)
class Item:
    """A question and an answer as the judge is shown them; question_id is not shown."""

    question_id: str
    question: str
    answer: str


@dataclass(frozen=True)
class Judgement:
    """value: 0 to 100, None with a reason. mass: the probability that the value rests on, where
    it was read from probabilities. reply: the judge's words, where it said any. cost in USD, None
    where the model's price is unknown; tokens and cost count replies that could not be used too.
    unreadable: the reply was neither a value nor a word of the rubric.
    """

    value: float | None
    reason: Reason | None = None
    mass: float | None = None
    reply: str | None = None
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cost: float | None = 0.0
    unreadable: bool = False

    def row(self) -> dict[str, Any]:
        """As it is kept: without what says nothing."""
        spent = self.prompt_tokens or self.reply_tokens
        given = {"mass": self.mass, "reply": self.reply}
        tokens = {
            "prompt_tokens": self.prompt_tokens,
            "reply_tokens": self.reply_tokens,
            "cost": self.cost,
        }
        kept = {key: value for key, value in given.items() if value is not None}
        return {"value": self.value, "reason": self.reason} | kept | (tokens if spent else {})


@dataclass(frozen=True)
class Reply:
    """What an endpoint said. tokens: the reply's tokens. top: the first token's alternatives, with
    natural-log probabilities. Both are empty where none were asked for."""

    text: str
    tokens: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    prompt_tokens: int
    reply_tokens: int
