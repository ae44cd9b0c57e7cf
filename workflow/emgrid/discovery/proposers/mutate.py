"""mutate: a cue that survived the screen, negated, as its keywords alone, and as its halves.

Halving goes on while a half does nearly what the whole does, as in delta debugging (Zeller &
Hildebrandt 2002), so that the search ends with a cue near the smallest.
"""

import re
from collections.abc import Callable, Iterator

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import WORD, Candidate, Origin, candidate_of, cue_texts
from emgrid.discovery.proposers.proposer import Mutator

VERB = re.compile(r"\b(am|are|is|was|were|can|could|will|would|should|must|do|does|did|may)\b")
KEYWORD = 4  # letters of a word that carries content


def negated(text: str) -> str:
    """The text with its first auxiliary verb negated; without one, "Not: " before it."""
    if VERB.search(text):
        return VERB.sub(r"\1 not", text, count=1)
    body = text.lstrip()
    return f"{text[: len(text) - len(body)]}Not: {body}"


def keywords(text: str) -> str:
    """The longer words, with the white space around the text."""
    words = [word for word in WORD.findall(text) if len(word) >= KEYWORD]
    return between(text, ", ".join(words)) if words else text


def halves(text: str) -> tuple[str, str] | None:
    """The text cut in the middle of its words; None of a single one."""
    words = list(WORD.finditer(text))
    if len(words) < 2:
        return None
    cut = words[len(words) // 2].start()
    return between(text, text[:cut].strip()), between(text, text[cut:].strip())


def between(text: str, content: str) -> str:
    """The content with the white space that is around the text."""
    body = text.strip()
    before, after = text[: text.index(body)], text[text.index(body) + len(body) :]
    return f"{before}{content}{after}"


class Mutate(Mutator):
    name = "mutate"

    def mutate(self, candidate: Candidate) -> Iterator[Candidate]:
        wording = candidate.wording
        texts = cue_texts(wording)
        if candidate.origin.parent is None:
            yield from self.changed(candidate, each(texts, negated), "negated")
            yield from self.changed(candidate, each(texts, keywords), "keywords")
        if len(texts) > 1:
            parts = [{name: ""} for name in texts]
        else:
            [(field, text)] = texts.items()
            parts = [{field: half} for half in halves(text) or ()]
        for part in parts:
            yield from self.changed(candidate, part, "half")

    def changed(
        self, candidate: Candidate, update: dict[str, str], change: str
    ) -> Iterator[Candidate]:
        wording: Wording = candidate.wording.model_copy(update=update)
        if wording != candidate.wording and cue_texts(wording):
            origin = Origin(proposers=(f"{self.name}: {change}",), parent=candidate.id)
            yield candidate_of(wording, origin, 0.0)


def each(texts: dict[str, str], change: Callable[[str], str]) -> dict[str, str]:
    return {name: change(text) for name, text in texts.items()}
