"""What the tests of the chat judge ask of an endpoint, and its keys."""

import math
from collections.abc import Callable

from emgrid.judge.digit_tokens import PROBE

from support.fake_endpoint import (
    FakeEndpoint,
    Json,
    Rejected,
    Reply,
    Response,
    digest_of,
    error,
    reply_to,
)

SECRETS = ["a-Secret.of+mine", "sk-proj-0123456789abcdef"]  # what it does not accept


BROKE = error(429, "insufficient_quota", "You exceeded your current quota.", "insufficient_quota")


FILTERED = error(400, "content_filter", "The prompt was filtered.")


def says(text: str, probability: float = 0.9) -> Reply:
    """A reply of one token, whose alternative is no reply."""
    return Reply(text, ((text, math.log(probability)), ("~", math.log((1 - probability) / 2))))


def asked(messages: list[Json]) -> str:
    return str(messages[0]["content"])


def rejecting(part: str, response: Response) -> Callable[[list[Json]], Reply]:
    """Requests that hold a text get the response instead of a reply."""

    def answer(messages: list[Json]) -> Reply:
        if part in asked(messages):
            raise Rejected(response)
        return reply_to(messages)

    return answer


def repeated(endpoint: FakeEndpoint) -> int:
    """Answers that were paid for again."""
    return sum(endpoint.deliveries.values()) - len(endpoint.deliveries)


def varied(messages: list[Json]) -> Reply:
    """Of eight replies five are the fake's own, and three are words."""
    words = {"0": "CODE", "1": "CODE", "2": "REF", "3": "REF", "4": "I", "5": "I"}
    word = words.get(digest_of(messages)[0])
    return says(word) if word else reply_to(messages)


WHOLE = Reply("10, 11, 12", (("10", -0.1),), ((",", -0.1), (" 11", -0.1), (",", 0), (" 12", 0)))


SPLIT = Reply("10, 11", (("1", -0.1),), (("0", 0), (",", 0), (" ", 0), ("1", 0), ("1", 0)))


def counting(
    probe: Reply, otherwise: Callable[[list[Json]], Reply]
) -> Callable[[list[Json]], Reply]:
    """The fake counts as the reply does when it is asked to."""
    return lambda messages: probe if asked(messages) == PROBE else otherwise(messages)


def digit_by_digit(numbers: Callable[[str], dict[str, float]]) -> Callable[[list[Json]], Reply]:
    """A judge whose tokenizer splits numbers into digits, and which goes on with what it is said
    to have begun. numbers: the probability of each whole reply to a prompt."""

    def answer(messages: list[Json]) -> Reply:
        said = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        following: dict[str, float] = {}
        for text, p in numbers(asked(messages)).items():
            if text.startswith(said):
                rest = text.removeprefix(said)
                token = rest[0] if rest[:1].isdigit() else rest or "<|im_end|>"
                following[token] = following.get(token, 0.0) + p
        total = sum(following.values())
        order = sorted(following, key=lambda token: -following[token])
        top = tuple((token, math.log(following[token] / total)) for token in order)
        return Reply(top[0][0], top)

    return counting(SPLIT, answer)
