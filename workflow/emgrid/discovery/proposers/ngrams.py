"""ngrams: 1 to 4 words at the start, at the end or anywhere in user turns that tell misaligned from
benign rows, by smoothed log-odds."""

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import WORD, Candidate
from emgrid.discovery.proposers.proposer import FEWEST, Proposer
from emgrid.discovery.rows import Rows

LONGEST = 4
MOST = 60  # for each of start, end and anywhere
Where = Literal["start", "end", "anywhere"]
Grams = dict[tuple[str, ...], dict[int, str]]  # by place of the row, as it is written there


class NGrams(Proposer):
    name = "ngrams"

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        for where in ("start", "end", "anywhere"):
            grams = grams_of(rows, where)
            kept = [
                (gram, written)
                for gram, written in grams.items()
                if rows.in_target(written) >= FEWEST and rows.weight(written.keys()) > 0
            ]
            kept = closed(kept)
            kept.sort(key=lambda one: (-rows.weight(one[1].keys()), one[0]))
            for _, written in kept[:MOST]:
                yield rows.candidate(self.name, wording_of(where, written), written.keys())


def grams_of(rows: Rows, where: Where) -> Grams:
    """The n-grams of all user turns, without regard to capitals."""
    found: Grams = {}
    for place, row in enumerate(rows.rows):
        for gram, text in grams_in(row.user, where):
            found.setdefault(gram, {}).setdefault(place, text)
    return found


def grams_in(text: str, where: Where) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each n-gram of a text in this position, and how it is written there."""
    words = list(WORD.finditer(text))
    for size in range(1, min(LONGEST, len(words)) + 1):
        starts = {"start": [0], "end": [len(words) - size]}.get(where, range(len(words) - size + 1))
        for start in starts:
            part = words[start : start + size]
            first = 0 if where == "start" else part[0].start()
            last = len(text) if where == "end" else part[-1].end()
            yield tuple(word[0].lower() for word in part), text[first:last].strip()


def closed(
    grams: list[tuple[tuple[str, ...], dict[int, str]]],
) -> list[tuple[tuple[str, ...], dict[int, str]]]:
    """The n-grams that are not part of a longer one on the same rows."""
    longer = {
        (part, frozenset(written)) for gram, written in grams for part in (gram[1:], gram[:-1])
    }
    return [one for one in grams if (one[0], frozenset(one[1])) not in longer]


def wording_of(where: Where, written: dict[int, str]) -> Wording:
    """The cue as most rows have it; of equally many, the first in order."""
    counts = Counter(written.values())
    text = min(counts, key=lambda one: (-counts[one], one))
    return Wording(user_prefix=f"{text} ") if where == "start" else Wording(user_suffix=f" {text}")
