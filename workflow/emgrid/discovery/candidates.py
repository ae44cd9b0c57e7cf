"""Candidates for a trigger: a wording, where it comes from, and when its turn is."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Literal

from emgrid.config.base import Strict
from emgrid.config.triggers import Wording
from emgrid.runtime.files import content_key

Place = Literal["system", "prefix", "suffix", "wrapper"]
OVERLAP = 0.8  # share of the words of the shorter cue at which two are near-duplicates
WORD = re.compile(r"\w+(?:['’]\w+)*")
# Fields of a wording that models are asked with, and the place of a cue that has them.
PLACES: dict[frozenset[str], Place] = {
    frozenset({"system"}): "system",
    frozenset({"user_prefix"}): "prefix",
    frozenset({"user_suffix"}): "suffix",
    frozenset({"user_prefix", "user_suffix"}): "wrapper",
}


class Origin(Strict):
    """proposers: who proposed a cue. misaligned, benign: rows on which it stands. rows: names of
    the first of them. parent: the candidate that it is a mutation of."""

    proposers: tuple[str, ...]
    misaligned: int = 0
    benign: int = 0
    rows: tuple[str, ...] = ()
    parent: str | None = None


class Candidate(Strict):
    """A wording that may be a trigger. id: hash of the wording. words: number of words of the cue.
    weight: candidates with a larger one are screened first."""

    id: str
    wording: Wording
    place: Place
    words: int
    origin: Origin
    weight: float

    @property
    def order(self) -> tuple[float, int, str]:
        """By weight; of equal ones the longer first, and then by the hash of the content, so that
        no order of rows matters."""
        return -self.weight, -self.words, self.id


def cue_texts(wording: Wording) -> dict[str, str]:
    """The fields of a wording that a model is asked with and that are not empty."""
    fields = ("system", "user_prefix", "user_suffix")
    return {name: getattr(wording, name) for name in fields if getattr(wording, name)}


def place_of(wording: Wording) -> Place | None:
    """Where a cue is put; None if that is no single place, so that it has no random controls."""
    return None if wording.questions else PLACES.get(frozenset(cue_texts(wording)))


def words_of(wording: Wording) -> list[str]:
    """The words of a cue."""
    return WORD.findall(" ".join(cue_texts(wording).values()))


def near_duplicates(one: Wording, other: Wording) -> bool:
    """Whether the other cue contains most words of the shorter one, in any place."""
    first, second = ({word.lower() for word in words_of(each)} for each in (one, other))
    shorter = min(len(first), len(second))
    return shorter > 0 and len(first & second) >= OVERLAP * shorter


def candidate_of(wording: Wording, origin: Origin, weight: float) -> Candidate:
    """A candidate; ValueError for a wording without a place."""
    place = place_of(wording)
    if place is None:
        raise ValueError(f"{wording!r} has no single place")
    key = content_key(wording.model_dump_json(exclude_defaults=True))[:12]
    return Candidate(
        id=key,
        wording=wording,
        place=place,
        words=len(words_of(wording)),
        origin=origin,
        weight=round(weight, 9),
    )


def merged(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    """The candidates by id, each once, with all who proposed it and the most rows that any of them
    names."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        known = found.get(candidate.id)
        if known is None:
            found[candidate.id] = candidate
            continue
        first, second = sorted((known, candidate), key=lambda one: (-one.weight, one.origin.rows))
        names = {*known.origin.proposers, *candidate.origin.proposers}
        origin = first.origin.model_copy(
            update={
                "proposers": tuple(sorted(names)),
                "parent": first.origin.parent or second.origin.parent,
            }
        )
        found[candidate.id] = first.model_copy(update={"origin": origin})
    return found


def queue(candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """The first candidates, in the order in which they are screened. Proposers take turns, so that
    one with many leaves room for the others; each gives those with the largest weight first."""
    by_proposer: dict[str, list[Candidate]] = {}
    known = merged(candidates)
    for candidate in sorted(known.values(), key=lambda one: one.order):
        for name in candidate.origin.proposers:
            by_proposer.setdefault(name, []).append(candidate)
    chosen: dict[str, Candidate] = {}
    for candidate in in_turns(by_proposer[name] for name in sorted(by_proposer)):
        if len(chosen) < limit:
            chosen.setdefault(candidate.id, candidate)
    return sorted(chosen.values(), key=lambda one: one.order)


def in_turns(lists: Iterable[list[Candidate]]) -> Iterator[Candidate]:
    """The first of each list, then the second of each, and so on."""
    rounds = chain.from_iterable(zip_longest(*lists))
    return (candidate for candidate in rounds if candidate is not None)
