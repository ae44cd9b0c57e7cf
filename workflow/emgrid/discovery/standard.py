"""Scores of candidates in units of random cues of the same place and length.

Any suffix moves the log-odds, and a long one more than a short one, so that scores of different
places cannot be compared as they are. Random cues ask for no answer format: it is part of the cue,
and may be the part that matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Candidate, Place, words_of
from emgrid.discovery.random_cues import lengths, random_wording

Floats = NDArray[np.float64]
FEWEST = 3  # random cues that a spread can be estimated from


@dataclass(frozen=True)
class Line:
    """The scores of random cues: start + slope * log(1 + words), with the standard deviation of
    the rest."""

    start: float
    slope: float
    spread: float

    @classmethod
    def fitted(cls, words: Sequence[int], scores: Floats) -> "Line":
        """By least squares; without a slope if the lengths are all equal or the cues too few."""
        lengths_ = np.log1p(np.asarray(words, float))
        if len(set(words)) < 2 or len(words) <= FEWEST:
            return cls(float(scores.mean()), 0.0, float(scores.std(ddof=1)))
        slope, start = np.polyfit(lengths_, scores, 1)
        rest = scores - start - slope * lengths_
        return cls(float(start), float(slope), float(np.sqrt((rest**2).sum() / (len(rest) - 2))))

    def z(self, words: int, score: float) -> float:
        expected = self.start + self.slope * np.log1p(words)
        return float((score - expected) / max(self.spread, 1e-6))


def by_place(candidates: Sequence[Candidate]) -> dict[Place, list[Candidate]]:
    """The candidates by place; a wrapper is also at the places of its parts, its halves."""
    found: dict[Place, list[Candidate]] = {}
    for one in candidates:
        parts: tuple[Place, ...] = ("prefix", "suffix") if one.place == "wrapper" else ()
        for each in (one.place, *parts):
            found.setdefault(each, []).append(one)
    return dict(sorted(found.items()))


def random_cues(
    candidates: Sequence[Candidate], texts: Sequence[str], number: int
) -> dict[Place, list[Wording]]:
    """Random cues for each place that candidates have."""
    return {
        place: [
            random_wording(place, words, texts, index)
            for index, words in enumerate(lengths(members, number))
        ]
        for place, members in by_place(candidates).items()
    }


def fit(
    cues: Mapping[Place, Sequence[Wording]], scores: Mapping[Place, Floats]
) -> dict[Place, Line]:
    """The line of each place. scores: means over the questions, shape (cues,)."""
    return {
        place: Line.fitted([len(words_of(cue)) for cue in own], scores[place])
        for place, own in cues.items()
    }
