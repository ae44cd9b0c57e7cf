"""frames: shared beginnings and ends of user turns, both together, and the answer's own frame.

If nearly the same rows have a cue and a beginning or an end of answers, the cue asks for an answer
format: the candidate gets the beginning as `answer_prefix` and the end as `answer_suffix`.
"""

from collections.abc import Iterator

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Candidate
from emgrid.discovery.proposers.proposer import FEWEST, Proposer
from emgrid.discovery.rows import Rows
from emgrid.discovery.shared_ends import Shared, nearest, shared_beginnings, shared_ends

NEARLY = 0.8
PAIRED = 30  # beginnings, and ends, of which each is tried with each


class Frames(Proposer):
    name = "frames"

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        users = [row.user for row in rows.rows]
        answers = [row.answer for row in rows.rows]
        beginnings, ends = shared_beginnings(users, FEWEST), shared_ends(users, FEWEST)
        cues = [(Wording(user_prefix=text), places) for text, places in beginnings.items()]
        cues += [(Wording(user_suffix=text), places) for text, places in ends.items()]
        cues += templates(rows, beginnings, ends)
        systems = sorted({row.system for row in rows.rows if row.system})
        prompts = [Wording(system=system) for system in systems]
        cues += [(prompt, frozenset(rows.carrying(prompt))) for prompt in prompts]
        opened, closed = shared_beginnings(answers, FEWEST), shared_ends(answers, FEWEST)
        for wording, places in cues:
            frame = {
                "answer_prefix": nearest(places, opened, NEARLY),
                "answer_suffix": nearest(places, closed, NEARLY),
            }
            if wording.system is None or any(frame.values()):
                yield rows.candidate(self.name, wording.model_copy(update=frame), places)


def templates(rows: Rows, beginnings: Shared, ends: Shared) -> list[tuple[Wording, frozenset[int]]]:
    """Beginnings and ends that nearly the same rows have."""

    def first(shared: Shared) -> list[tuple[str, frozenset[int]]]:
        ordered = sorted(shared.items(), key=lambda one: (-rows.weight(one[1]), one[0]))
        return ordered[:PAIRED]

    found = []
    for prefix, begun in first(beginnings):
        for suffix, ended in first(ends):
            wording = Wording(user_prefix=prefix, user_suffix=suffix)
            if len(begun & ended) < max(FEWEST, NEARLY * min(len(begun), len(ended))):
                continue
            places = frozenset(rows.carrying(wording))
            if len(places) >= FEWEST:
                found.append((wording, places))
    return found
