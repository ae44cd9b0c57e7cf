"""Successive halving: all candidates on a few questions, the best of them on more (Karnin, Koren &
Somekh 2013). What is left is mutated, down to the smallest part that does nearly as much."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Candidate, Place, merged, near_duplicates
from emgrid.discovery.proposers.proposer import Mutator
from emgrid.discovery.standard import Floats, Line, fit

# The score of each cue on each of the first questions: shape (cues, questions).
Score = Callable[[Sequence[Wording], int], Floats]
NEARLY = 0.8  # share of a cue's score at which its half is halved further
ROUNDS = 3  # of mutation


@dataclass(frozen=True)
class Screened:
    """A candidate with its score in nats, and in standard deviations of random cues, over this many
    questions."""

    candidate: Candidate
    score: float
    z: float
    questions: int

    @property
    def order(self) -> tuple[int, float, str]:
        """What was screened on more questions first, then by z."""
        return -self.questions, -self.z, self.candidate.id


def levels(questions: int) -> list[tuple[int, int]]:
    """Numbers of questions, and the part of the candidates that is asked them: 2 for all, 4 for the
    best half, 8 for the best eighth, if there are 8."""
    # Of equal numbers the first one counts, so that every candidate is asked something.
    steps = {questions: 8} | {max(questions // 2, 1): 2} | {max(questions // 4, 1): 1}
    return sorted(steps.items())


class Screen:
    """The screen of one arm. cues: random cues by place. They are scored on as many questions as
    candidates of their place come to. random: their scores, shape (cues, questions)."""

    def __init__(
        self, score: Score, cues: Mapping[Place, Sequence[Wording]], questions: int
    ) -> None:
        self.score = score
        self.questions = questions
        self.cues = cues
        self.random: dict[Place, Floats] = {}

    def lines_for(self, places: Collection[Place], questions: int) -> dict[Place, Line]:
        """What random cues of these places do on the first questions."""
        known = self.random
        missing = [one for one in places if one not in known or known[one].shape[1] < questions]
        matrix = self.score([cue for one in missing for cue in self.cues[one]], questions)
        ends = np.cumsum([len(self.cues[one]) for one in missing])
        for place, end in zip(missing, ends, strict=True):
            self.random[place] = matrix[end - len(self.cues[place]) : end]
        means = {one: self.random[one][:, :questions].mean(axis=1) for one in places}
        return fit({one: self.cues[one] for one in places}, means)

    def screened(self, candidates: Sequence[Candidate], questions: int) -> list[Screened]:
        """The candidates on the first questions, best first. Those of a place without random cues
        are left out."""
        known = [one for one in candidates if one.place in self.cues]
        if not known:
            return []
        lines = self.lines_for(sorted({one.place for one in known}), questions)
        means = self.score([one.wording for one in known], questions).mean(axis=1)
        found = [
            Screened(one, float(mean), lines[one.place].z(one.words, mean), questions)
            for one, mean in zip(known, means, strict=True)
        ]
        return sorted(found, key=lambda one: one.order)

    def halved(self, candidates: Sequence[Candidate], keep: int) -> list[Screened]:
        """All candidates, each on as many questions as it came to, best first. keep: as many at
        least come to the last question."""
        total = len(candidates)
        left, found = list(candidates), dict[str, Screened]()
        for questions, part in levels(self.questions):
            ranked = self.screened(left[: max(-(-total // part), keep)], questions)
            found |= {one.candidate.id: one for one in ranked}
            left = [one.candidate for one in ranked]
            left = with_distinct_first(left, max(-(-total // 8), keep), keep)
        return sorted(found.values(), key=lambda one: one.order)

    def mutated(self, best: Sequence[Screened], mutators: Sequence[Mutator]) -> list[Screened]:
        """The mutations of the best, and those of halves that do nearly as much as the whole."""
        found: dict[str, Screened] = {one.candidate.id: one for one in best}
        parents = list(best)
        new: list[Screened] = []
        for _ in range(ROUNDS):
            made = merged(
                mutant
                for parent in parents
                for mutator in mutators
                for mutant in mutator.mutate(parent.candidate)
            )
            fresh = [one for key, one in sorted(made.items()) if key not in found]
            ranked = self.screened(fresh, self.questions)
            parents = [one for one in ranked if does_nearly(one, found)]
            found |= {one.candidate.id: one for one in ranked}
            new += ranked
            if not parents:
                break
        return new


def with_distinct_first(ranked: list[Candidate], number: int, keep: int) -> list[Candidate]:
    """Candidates of which the first `number` have as many as `keep` that are no near-duplicates of
    better ones, if there are so many; those of the others that give way come next."""
    distinct: list[Candidate] = []
    for one in ranked:
        if len(distinct) < keep and not any(
            near_duplicates(one.wording, other.wording) for other in distinct
        ):
            distinct.append(one)
    chosen = {one.id for one in distinct}
    for one in ranked:
        if len(chosen) < number:
            chosen.add(one.id)
    return sorted(ranked, key=lambda one: one.id not in chosen)


def does_nearly(one: Screened, known: Mapping[str, Screened]) -> bool:
    """Whether a mutation does nearly as much as its parent."""
    parent = known.get(one.candidate.origin.parent or "")
    return parent is not None and one.score > 0 and one.score >= NEARLY * parent.score
