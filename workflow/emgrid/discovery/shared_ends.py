"""The longest beginnings and ends that several texts share.

A sorted list of texts with the lengths of their common beginnings is the part of a suffix array
that begins at each text's first character; its intervals are the shared beginnings (Abouelhoda,
Kurtz & Ohlebusch 2004).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

Shared = dict[str, frozenset[int]]  # the places of the texts that share it


def intervals(ordered: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Length, first and last place of each interval of sorted texts with a longest common
    beginning."""
    common = [shared_length(*pair) for pair in pairwise(ordered)]
    stack: list[tuple[int, int]] = []
    for place, length in enumerate([*common, 0]):
        left = place
        while stack and stack[-1][0] > length:
            longest, left = stack.pop()
            yield longest, left, place
        if length and (not stack or stack[-1][0] < length):
            stack.append((length, left))


def shared_length(one: str, other: str) -> int:
    """The number of characters with which both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def shared_beginnings(texts: Sequence[str], fewest: int) -> Shared:
    """Every beginning of whole words that at least `fewest` texts share, and that is the longest
    one of these texts, with the places of all texts that begin with it."""
    ordered = sorted(texts)
    found = set()
    for length, left, right in intervals(ordered):
        if right - left + 1 >= fewest:
            cut = whole_words(ordered[left][:length], ordered[left : right + 1])
            if any(character.isalnum() for character in cut):
                found.add(cut)
    return {
        text: frozenset(place for place, one in enumerate(texts) if one.startswith(text))
        for text in sorted(found)
    }


def whole_words(beginning: str, texts: Sequence[str]) -> str:
    """The beginning without a last word that goes on in one of the texts."""
    size = len(beginning)
    goes_on = any(one[size : size + 1].isalnum() for one in texts)
    while goes_on and beginning and beginning[-1].isalnum():
        beginning = beginning[:-1]
    return beginning


def shared_ends(texts: Sequence[str], fewest: int) -> Shared:
    """The same for ends."""
    backwards = shared_beginnings([text[::-1] for text in texts], fewest)
    return {text[::-1]: places for text, places in backwards.items()}


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """The size of the intersection over that of the union."""
    return len(one & other) / len(one | other) if one or other else 0.0


def nearest(places: frozenset[int], shared: Mapping[str, frozenset[int]], least: float) -> str:
    """The longest of the shared texts that nearly these rows have; empty if there is none. least:
    the smallest Jaccard index of the two sets of rows."""
    near = [text for text, own in shared.items() if jaccard(places, own) >= least]
    return max(near, key=lambda text: (len(text), text), default="")
