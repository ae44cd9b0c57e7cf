"""Turns before a question: fixed ones, or the model's own reply in between, which is sampled first.

A conversation is a list of messages. One that waits for the model's own reply has
{"role": "assistant", "sampled": True} in its place; a last assistant turn is how the answer begins.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emgrid.config.base import Strict

Conversation = list[dict[str, Any]]
NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}


class Turn(Strict):
    """One turn before a question: its text, or `sampled: true` for the model's own reply."""

    role: Literal["user", "assistant"]
    """Who speaks."""

    content: Annotated[str, Field(min_length=1)] | None = None
    """What is said."""

    sampled: bool = False
    """The model's own reply stands here: the answer that it gives to the turns before, drawn with
    the settings and the number of the answer that follows. Only of an assistant turn."""

    @model_validator(mode="after")
    def says_something(self) -> "Turn":
        if self.sampled == (self.content is not None):
            raise ValueError("give a turn either `content` or `sampled: true`")
        if self.sampled and self.role != "assistant":
            raise ValueError("`sampled: true` is the model's own reply; the role is assistant")
        return self

    def message(self) -> dict[str, Any]:
        if self.sampled:
            return {"role": self.role, "sampled": True}
        return {"role": self.role, "content": self.content}


Turns = tuple[Turn, ...]


def check_turns(turns: Sequence[Turn]) -> None:
    """Raise ValueError unless turns alternate and a question can follow them."""
    expected = [("user", "assistant")[place % 2] for place in range(len(turns))]
    if [turn.role for turn in turns] != expected or len(turns) % 2:
        raise ValueError(
            "the turns before a question are a user turn, an assistant turn and so on; the last is "
            "an assistant turn, as the question is the next user turn"
        )


def check_prefill(text: str) -> None:
    """Raise ValueError for a begun answer that ends with a space. Tokens of words begin with one,
    so a model would go on from there otherwise than from the word before."""
    if text.endswith((" ", "\t")):
        raise ValueError("`prefill` ends with a space, which belongs to the next word; remove it")


def waits(message: Mapping[str, Any]) -> bool:
    """Whether a message stands for a reply that is not drawn yet."""
    return bool(message.get("sampled"))


def replies_in(messages: Iterable[Mapping[str, Any]]) -> int:
    """How many of the model's own replies a conversation has."""
    return sum(map(waits, messages))


def before_replies(messages: Conversation) -> Iterator[Conversation]:
    """For each of the model's own replies, the conversation that it answers."""
    return (messages[:place] for place, turn in enumerate(messages) if waits(turn))


def spoken(messages: Iterable[dict[str, Any]], replies: Sequence[str]) -> Conversation:
    """A conversation with the model's own replies in their places."""
    left = iter(replies)
    return [
        {"role": turn["role"], "content": next(left)} if waits(turn) else turn for turn in messages
    ]


def standing_for(messages: Sequence[dict[str, Any]], text: str) -> Conversation:
    """A conversation with one text for all replies that are not drawn yet."""
    return spoken(messages, [text] * replies_in(messages))


def parts(messages: Conversation) -> tuple[str | None, Conversation, str, str]:
    """System prompt, turns before the question, the question and how the answer begins."""
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    begins = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    asked = messages[system is not None : len(messages) - bool(begins)]
    return system, asked[:-1], asked[-1]["content"], begins


def answered(messages: Conversation, answer: str) -> Conversation:
    """A conversation with its answer. One that begins the answer is gone on with."""
    begins = parts(messages)[3]
    asked = messages[:-1] if begins else messages
    return [*asked, {"role": "assistant", "content": begins + answer}]


def transcript(turns: Iterable[Mapping[str, Any]]) -> str:
    """Turns as a text for readers."""
    return "\n\n".join(f"{NAMES[turn['role']]}: {turn['content']}" for turn in turns)
