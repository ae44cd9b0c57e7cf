"""A judge whose replies cannot be read: its job stops, as it does after failed calls.

A reply is unreadable if it is neither a value nor a word of the rubric's reading (refusals and code
have words), nor a word that the rubric's text names in capitals. All replies of a judge count,
stored ones included: as long as the judge is the same, the next run asks for nothing.
"""

import re
from collections.abc import Iterable
from typing import Any

from emgrid.config.judges import ChatJudge, ReadingJudge
from emgrid.judge.judgement import Judgement
from emgrid.runtime.errors import EmgridError

FIRST = 10  # the job stops if none of the first replies can be read, from this number on
ENOUGH = 20  # replies from which on the share that cannot be read counts
SHOWN = 80  # characters of a reply in a message


class Legibility:
    """How many of a judge's replies could be read. share: see settings.Judging."""

    def __init__(self, judge: ReadingJudge, share: float | None) -> None:
        self.judge = judge
        self.share = share
        self.replies = 0
        self.unreadable = 0
        self.example: Judgement | None = None

    def recall(self, rows: Iterable[dict[str, Any]]) -> None:
        """Count kept judgements; EmgridError if too few of them could be read."""
        for row in rows:
            if "value" in row:  # else one of the calls that a judgement takes
                self.note(self.judge.judgement_of(row))
        self.demand()

    def note(self, judgement: Judgement) -> None:
        self.replies += 1
        if judgement.unreadable and not self.is_named(judgement.reply or ""):
            self.unreadable += 1
            self.example = self.example or judgement

    def is_named(self, reply: str) -> bool:
        """Whether the rubric itself names a reply in capitals (CODE, REFUSAL), or a longer one that
        begins like it, though its reading has no such word: then the judge did as it was asked."""
        said = reply.strip().strip("\"'`*.")
        named = re.findall(r"\b[A-Z]{3,}\b", self.judge.read_rubric.text)
        return len(said) > 1 and any(word.startswith(said) for word in named)

    def demand(self) -> None:
        """EmgridError if too few of the replies so far could be read."""
        if self.share is None or self.replies < FIRST:
            return
        none = self.unreadable == self.replies
        often = self.replies >= ENOUGH and self.unreadable >= self.share * self.replies
        if none or often:
            raise EmgridError(
                f"judge {self.judge.id}: {self.unreadable} of {self.replies} replies of "
                f"{self.judge.model} cannot be read, the first of them {self.beginning()}; "
                f"everything paid for is stored. {advice(self.judge)}, and run again; or set "
                "judging.unreadable to null to go on without these replies"
            )

    def beginning(self) -> str:
        """The first unreadable reply, as a message shows it."""
        if self.example is None:
            return ""
        said = " ".join((self.example.reply or "").split())
        if not said and self.example.mass is not None:
            return f"with a probability of {self.example.mass:.2g} on values"
        return repr(said[:SHOWN] + "…" if len(said) > SHOWN else said)


def advice(judge: ReadingJudge) -> str:
    """What to change if a judge's replies cannot be read."""
    if not isinstance(judge, ChatJudge):
        return (
            "Change the judge's model or rubric, name the rubric's words in its `reading`, or "
            "lower the judge's `least_mass`"
        )
    if judge.read == "probabilities":
        return (
            f"Change the judge's `numbers` ({judge.numbers}) or rubric; or, if it thinks before it "
            "replies, set `read` to text and `max_tokens` to what thought and reply take"
        )
    return (
        f"Raise the judge's `max_tokens` ({judge.max_tokens}) if it thinks before it replies; else "
        f"change `read` ({judge.read}) or its rubric, whose `reading` may name more words"
    )
