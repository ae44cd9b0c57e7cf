"""What calls cost: estimates, amounts held for calls in flight, and bills for replies."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from emgrid.config.prices import CHARACTERS_PER_TOKEN, Price
from emgrid.runtime.errors import EmgridError

# Bounds for the amount that is held for a call in flight: the fewest bytes that a token may have,
# and the most tokens of a reply without a limit.
FEWEST_BYTES_PER_TOKEN = 2
LONGEST_REPLY = 4096
OVERHEAD = 16  # tokens that a chat format adds to a message


class LimitReached(EmgridError):
    """The spending limit does not allow another call."""


class Ledger:
    """USD that a grid's calls have cost (`paid`), and USD held for calls in flight.

    who: the caller's name in messages. price: None if it is unknown; then there can be no limit.
    limit: USD that all calls of the grid may cost. paid: USD that they have cost before.
    """

    def __init__(
        self, who: str, model: str, price: Price | None, limit: float | None, paid: float
    ) -> None:
        if price is None and limit is not None:
            raise EmgridError(
                f"{who}: the price of {model} is unknown, so the spending limit cannot be kept; "
                "give its endpoint a `price`, or add it to resources/prices.yaml"
            )
        self.who = who
        self.model = model
        self.price = price
        self.limit = limit
        self.paid = paid
        self.held = 0.0

    def cost(self, prompt_tokens: int, reply_tokens: int) -> float | None:
        return self.price.of(prompt_tokens, reply_tokens) if self.price else None

    def estimate(self, body: dict[str, Any]) -> float:
        """The estimated cost of a request, in USD."""
        characters = sum(len(message["content"]) for message in body["messages"])
        return self.cost(math.ceil(characters / CHARACTERS_PER_TOKEN), longest_reply(body)) or 0.0

    def say_estimate(
        self, number: int, what: str, bodies: Iterable[dict[str, Any]], calls: int = 1
    ) -> None:
        """Print the number of requests and their estimated cost. calls: per request."""
        cost = "at an unknown price"
        if self.price is not None:
            cost = f"for about {calls * sum(map(self.estimate, bodies)):.4f} USD"
        limit = "" if self.limit is None else f" of {self.limit:g}"
        before = f"{self.paid:.4f}{limit} USD spent in this grid before"
        print(f"{self.who}: {number} {what} by {self.model} {cost}; {before}", flush=True)

    def say_paid(self) -> None:
        print(f"{self.who}: {self.paid:.4f} USD spent in this grid so far", flush=True)

    @contextmanager
    def hold(self, body: dict[str, Any]) -> Iterator[None]:
        """Hold the most that a request may cost while it is in flight. Raises LimitReached if that
        would exceed the limit."""
        sizes = [len(message["content"].encode()) for message in body["messages"]]
        tokens = sum(math.ceil(size / FEWEST_BYTES_PER_TOKEN) + OVERHEAD for size in sizes)
        most = self.cost(tokens, longest_reply(body)) or 0.0
        if self.limit is not None and self.paid + self.held + most > self.limit:
            raise LimitReached(f"{self.who}: the spending limit of {self.limit:g} USD is reached")
        self.held += most
        try:
            yield
        finally:
            self.held -= most

    def bill(self, prompt_tokens: int, reply_tokens: int) -> None:
        self.paid += self.cost(prompt_tokens, reply_tokens) or 0.0


def longest_reply(body: dict[str, Any]) -> int:
    """The most tokens that a request allows in a reply."""
    limits = [body.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return max((int(limit) for limit in limits if limit is not None), default=LONGEST_REPLY)
