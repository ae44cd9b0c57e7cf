"""How a judge's reply becomes a value, or the reason why it has none.

A reply is read in one of three ways: from the probabilities of all replies (the expectation over
the numbers 0 to 100, as in Betley et al. 2025), strictly from its text, or from JSON that the
request demanded. Think blocks are removed from a text first. Nothing is guessed: "85/100",
"score: 85" and "-5" are not numbers.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from emgrid.config.judges import ChatJudge, ReadingJudge
from emgrid.config.rubrics import NUMBERS, Reading
from emgrid.judge.judgement import Judgement
from emgrid.runtime.thinking import split_thinking


def from_text(reading: Reading, reply: str) -> Judgement:
    """The value of a reply that, after its think block, is a single number, label or word. A reply
    that was cut inside its think block has no value."""
    answer = split_thinking(reply)[1] or ""
    stripped = answer.strip().removesuffix(".").strip("\"'`* ")
    known = {text.casefold(): text for text in [*reading.values, *reading.words]}
    text = known.get(stripped.casefold())
    if text is None:
        return Judgement(None, "unparseable", reply=reply, unreadable=True)
    if text in reading.words:
        return Judgement(None, reading.words[text], reply=reply)
    return Judgement(reading.values[text], reply=reply)


def from_json(reading: Reading, reply: str) -> Judgement:
    """The value of a reply {"reply": ...}, the form that the schema demands."""
    unreadable = Judgement(None, "unparseable", reply=reply, unreadable=True)
    try:
        value = json.loads(split_thinking(reply)[1] or "")["reply"]
    except (ValueError, TypeError, KeyError):
        return unreadable
    whole = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    return replace(from_text(reading, str(value)), reply=reply) if whole else unreadable


def from_tokens(reading: Reading, top: Iterable[tuple[str, float]], least: float) -> Judgement:
    """The expectation over the most probable first tokens, for tokenizers that write each reply, or
    a beginning that no other reply has, as one token.

    top: tokens with natural-log probabilities. least: the least probability of all values together
    for which there is an expectation.
    """
    probabilities: dict[str, float] = {}
    others: dict[str, float] = {}
    for token, logprob in top:
        reply = reply_of(reading, token)
        place = probabilities if reply in reading.values else others
        key = reply or token
        place[key] = place.get(key, 0.0) + math.exp(logprob)
    return from_probabilities(reading, probabilities, others, least)


def reply_of(reading: Reading, token: str) -> str | None:
    """The reply that a first token is, or the only reply that begins with it; else None."""
    stripped = token.strip()
    if not reading.labels:
        if stripped in NUMBERS:
            return stripped
    elif stripped in reading.labels:
        return stripped
    start = stripped.casefold()
    texts = [*reading.labels, *reading.words]
    begun = [text for text in texts if start and text.casefold().startswith(start)]
    return begun[0] if len(begun) == 1 else None


def from_probabilities(
    reading: Reading, probabilities: Mapping[str, float], others: Mapping[str, float], least: float
) -> Judgement:
    """The expectation over values, or the most probable other reply's reason.

    probabilities: of the values' texts. others: of words and of anything else.
    """
    mass = sum(probabilities.values())
    if mass < least or mass == 0:
        likeliest = max(others, key=lambda text: others[text], default="")
        if likeliest in reading.words:
            return Judgement(None, reading.words[likeliest], mass)
        return Judgement(None, "low_mass", mass, unreadable=True)
    weighted = sum(reading.values[text] * p for text, p in probabilities.items())
    return Judgement(min(weighted / mass, 100.0), None, mass)


def read_text(judge: ChatJudge, reply: str) -> Judgement:
    """The judgement in a reply that is read as text or as JSON, as the judge's `read` says; with
    `auto`, as JSON if it is an object."""
    reading = judge.read_rubric.reading
    is_object = judge.read == "auto" and (split_thinking(reply)[1] or "").lstrip().startswith("{")
    if judge.read == "structured" or is_object:
        return from_json(reading, reply)
    return from_text(reading, reply)


def judgement_of(judge: ReadingJudge, row: dict[str, Any]) -> Judgement:
    """A stored judgement. A stored reply that could not be read is read again, since newer versions
    remove its think block."""
    reply = row.get("reply")
    if (
        isinstance(judge, ChatJudge)
        and judge.read != "probabilities"
        and row["reason"] == "unparseable"
        and reply is not None
    ):
        return read_text(judge, reply)
    judgement = Judgement(row["value"], row["reason"], row.get("mass"), reply)
    return replace(judgement, unreadable=judgement.reason == "low_mass")
