"""The input of a judge, and its judgement: a value, or the reason why there is none."""

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
    """A question and an answer as the judge sees them; it does not see question_id."""

    question_id: str
    question: str
    answer: str


@dataclass(frozen=True)
class Judgement:
    """value: 0 to 100; None with a reason. mass: the total probability of values, if those are
    known. reply: the judge's text, if any. cost: in USD, None if the model's price is
    unknown. Tokens and cost include unusable replies. unreadable: the reply was neither a value nor
    a word of the rubric. spread: the standard deviation of the values of several replies.
    """

    value: float | None
    reason: Reason | None = None
    mass: float | None = None
    reply: str | None = None
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cost: float | None = 0.0
    unreadable: bool = False
    spread: float | None = None

    def row(self) -> dict[str, Any]:
        """The stored row, without empty fields."""
        spent = self.prompt_tokens or self.reply_tokens
        optional = {"mass": self.mass, "spread": self.spread, "reply": self.reply}
        tokens = {
            "prompt_tokens": self.prompt_tokens,
            "reply_tokens": self.reply_tokens,
            "cost": self.cost,
        }
        present = {key: value for key, value in optional.items() if value is not None}
        return {"value": self.value, "reason": self.reason} | present | (tokens if spent else {})


@dataclass(frozen=True)
class Reply:
    """An endpoint's reply. tokens: the reply's tokens. top: the alternatives of the first token,
    with natural-log probabilities. Both are empty if they were not requested."""

    text: str
    tokens: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    prompt_tokens: int
    reply_tokens: int
