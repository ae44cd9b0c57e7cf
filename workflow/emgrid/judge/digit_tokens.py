"""Number probabilities from an endpoint whose tokenizer splits numbers into digits.

There the first token of "85" is "8". The reply is therefore continued after each likely digit, so
that the average is over numbers and not over their first digits.
"""

import itertools
import math
import re
from collections.abc import Awaitable, Callable, Sequence

PRUNED = 1e-3  # a first digit less likely than this is not followed
PROBE = "Count from ten to thirty in digits, separated by commas, like this: 10, 11, 12, 13"
CALLS = 12  # most calls per judgement
END = ""  # in place of a token: anything that ends a number
Top = Sequence[tuple[str, float]]
# Returns the alternatives of the next token after a reply that begins with some digits.
Continue = Callable[[str], Awaitable[Top]]


def how_numbers_are_written(tokens: Sequence[str]) -> str | None:
    """ "whole" or "digits", by the tokens of a reply with numbers; None if it has no numbers.

    Whole: the tokenizer has one token for each number up to 100.
    """
    texts = [token.strip() for token in tokens]
    if any(re.fullmatch(r"[0-9]{2,3}", token) for token in texts):
        return "whole"
    if any(re.fullmatch("[0-9]{2}", left + right) for left, right in itertools.pairwise(texts)):
        return "digits"
    return None


async def walk(first: Top, go_on: Continue) -> tuple[dict[str, float], dict[str, float]]:
    """Probabilities of numbers, and of first tokens that are not digits.

    Asks for a second digit after each likely first one, and for a third after 10 alone.
    """
    starts, others = split(first)
    numbers: dict[str, float] = {}
    for digit, p in starts.items():
        if digit == "0" or p < PRUNED:
            numbers[digit] = p
            continue
        for following, q in (await next_digits(digit, go_on)).items():
            numbers[digit + following] = p * q
    if numbers.get("10", 0.0) >= PRUNED:
        after = await next_digits("10", go_on)
        numbers["100"] = numbers["10"] * after.get("0", 0.0)
        numbers["10"] *= after[END]
    return numbers, others


async def next_digits(digits_so_far: str, go_on: Continue) -> dict[str, float]:
    """Probabilities of the digits that may follow, and of END."""
    digits, _ = split(await go_on(digits_so_far))
    return digits | {END: max(1.0 - sum(digits.values()), 0.0)}


def split(top: Top) -> tuple[dict[str, float], dict[str, float]]:
    """Probabilities of the ten digits, and of the other tokens listed."""
    digits: dict[str, float] = {}
    others: dict[str, float] = {}
    for token, logprob in top:
        text = token.strip()
        group = digits if re.fullmatch("[0-9]", text) else others
        group[text] = group.get(text, 0.0) + math.exp(logprob)
    return digits, others
