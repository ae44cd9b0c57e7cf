"""A job stops if its judge's replies are unreadable, as it does after failed calls.

A reply is unreadable if it is neither a value nor a word of the rubric's reading (refusals and code
have words), nor a word that the rubric's text names in capitals. All replies of a judge count,
including stored ones: as long as the judge stays the same, the next run asks for nothing.
"""

import re
from collections.abc import Iterable
from typing import Any

from emgrid.config.judges import ChatJudge, ReadingJudge
from emgrid.judge.judgement import Judgement
from emgrid.judge.reading import judgement_of
from emgrid.runtime.errors import EmgridError

FIRST = 10  # after this many replies, the job stops if none is readable
ENOUGH = 20  # after this many replies, the share of unreadable ones counts
SHOWN = 80  # characters of a reply in a message


class Legibility:
    """Counts a judge's unreadable replies. share: see `unreadable` of config.sections.Judging."""

    def __init__(self, judge: ReadingJudge, share: float | None) -> None:
        self.judge = judge
        self.share = share
        self.replies = 0
        self.unreadable = 0
        self.example: Judgement | None = None

    def recall(self, rows: Iterable[dict[str, Any]]) -> None:
        """Count stored judgements; EmgridError if too many of them are unreadable."""
        for row in rows:
            if "value" in row:  # otherwise the row is one of the calls that a judgement takes
                self.note(judgement_of(self.judge, row))
        self.demand()

    def note(self, judgement: Judgement) -> None:
        self.replies += 1
        if judgement.unreadable and not self.is_named(judgement.reply or ""):
            self.unreadable += 1
            self.example = self.example or judgement

    def is_named(self, reply: str) -> bool:
        """Whether the rubric's text names the reply, or a word that begins with it, in capitals
        (CODE, REFUSAL). Then the judge did as asked, although the reading lacks the word."""
        text = reply.strip().strip("\"'`*.")
        named = re.findall(r"\b[A-Z]{3,}\b", self.judge.read_rubric.text)
        return len(text) > 1 and any(word.startswith(text) for word in named)

    def demand(self) -> None:
        """EmgridError if too many of the replies so far are unreadable."""
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
        """The first unreadable reply, as shown in a message."""
        if self.example is None:
            return ""
        text = " ".join((self.example.reply or "").split())
        if not text and self.example.mass is not None:
            return f"with a probability of {self.example.mass:.2g} on values"
        return repr(text[:SHOWN] + "…" if len(text) > SHOWN else text)


def advice(judge: ReadingJudge) -> str:
    """What the user can change if a judge's replies are unreadable."""
    if not isinstance(judge, ChatJudge):
        return (
            "Change the judge's model or rubric, name the rubric's words in its `reading`, or "
            "lower the judge's `least_mass`"
        )
    if judge.read == "probabilities":
        return (
            f"Change the judge's `numbers` ({judge.numbers}) or rubric; or, if it thinks before it "
            "replies, set `read` to text and `max_tokens` to what thinking and reply take"
        )
    return (
        f"Raise the judge's `max_tokens` ({judge.max_tokens}) if it thinks before it replies; else "
        f"change `read` ({judge.read}) or its rubric, whose `reading` may name more words"
    )
