"""Scores of candidates in units of random cues of the same place and length.

Any suffix moves the log-odds, and a long one more than a short one, so that scores of different
places cannot be compared as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Candidate, Place, place_of, words_of
from emgrid.discovery.random_cues import Frame, frame_of, lengths, random_wording

Floats = NDArray[np.float64]
Group = tuple[Place, Frame]
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


def group_of(wording: Wording) -> Group:
    place = place_of(wording)
    if place is None:
        raise ValueError(f"{wording!r} has no single place")
    return place, frame_of(wording)


def groups_of(candidates: Sequence[Candidate]) -> dict[Group, list[Candidate]]:
    """The candidates by place and answer format, with those of the parts of a wrapper."""
    groups: dict[Group, list[Candidate]] = {}
    for one in candidates:
        place, frame = group_of(one.wording)
        parts: tuple[Place, ...] = ("prefix", "suffix") if place == "wrapper" else ()
        for each in (place, *parts):
            groups.setdefault((each, frame), []).append(one)
    return dict(sorted(groups.items()))


def random_cues(
    candidates: Sequence[Candidate], texts: Sequence[str], number: int
) -> dict[Group, list[Wording]]:
    """Random cues for each place and answer format that candidates have."""
    return {
        (place, frame): [
            random_wording(place, words, frame, texts, index)
            for index, words in enumerate(lengths(members, number))
        ]
        for (place, frame), members in groups_of(candidates).items()
    }


def fit(
    cues: Mapping[Group, Sequence[Wording]], scores: Mapping[Group, Floats]
) -> dict[Group, Line]:
    """The line of each group. scores: means over the questions, shape (cues,)."""
    return {
        group: Line.fitted([len(words_of(cue)) for cue in own], scores[group])
        for group, own in cues.items()
    }
