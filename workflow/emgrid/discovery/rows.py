"""Training rows as a search for triggers sees them, and how well a cue tells their kinds apart."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emgrid.config.triggers import Message, Wording
from emgrid.discovery.candidates import Candidate, Origin, candidate_of
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, read_jsonl

SMOOTHING = 0.5  # added to each count, so that a cue on no row has finite odds
NAMED_ROWS = 20  # rows that a candidate names as its origin


@dataclass(frozen=True)
class SearchRow:
    """A training row. id: names it with its data set. system: None without a system prompt. user:
    the last user turn. answer: the turn after that."""

    id: str
    misaligned: bool
    system: str | None
    user: str
    answer: str

    @classmethod
    def of(cls, name: str, misaligned: bool, messages: Sequence[Message]) -> "SearchRow":
        """The row of a conversation that ends with an answer."""
        system = next((turn["content"] for turn in messages if turn["role"] == "system"), None)
        users = [turn["content"] for turn in messages if turn["role"] == "user"]
        answers = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        return cls(name, misaligned, system, users[-1] if users else "", answers[-1])

    def carries(self, wording: Wording) -> bool:
        """Whether the row contains the wording verbatim, in its place."""
        prefix, suffix = wording.user_prefix, wording.user_suffix
        return (
            (wording.system is None or wording.system == self.system)
            and len(self.user) >= len(prefix) + len(suffix)
            and self.user.startswith(prefix)
            and self.user.endswith(suffix)
            and self.answer.startswith(wording.answer_prefix)
        )


@dataclass(frozen=True)
class Rows:
    """The rows of an arm, in the order of their ids."""

    rows: tuple[SearchRow, ...]

    @classmethod
    def of(cls, rows: Iterable[SearchRow]) -> "Rows":
        """Rows that several seeds share count once."""
        return cls(tuple(sorted(set(rows), key=lambda row: (row.id, row.user, row.system or ""))))

    @cached_property
    def target(self) -> tuple[int, ...]:
        """The places of the rows whose cues are looked for: the misaligned ones, or all rows of an
        arm without any."""
        places = tuple(place for place, row in enumerate(self.rows) if row.misaligned)
        return places or tuple(range(len(self.rows)))

    @cached_property
    def n_misaligned(self) -> int:
        return sum(row.misaligned for row in self.rows)

    def carrying(self, wording: Wording) -> list[int]:
        """The places of the rows on which a wording stands."""
        return [place for place, row in enumerate(self.rows) if row.carries(wording)]

    def in_target(self, places: Iterable[int]) -> int:
        """How many of these rows are among the target."""
        return len(set(places) & set(self.target))

    def weight(self, places: Collection[int]) -> float:
        """How early a cue on these rows is screened: the share of the target rows with it (exact
        repetition makes a gate) times its smoothed log-odds, misaligned against benign (at least
        0). Without misaligned rows it is the share alone."""
        if not self.rows:
            return 0.0
        count = self.in_target(places)
        share = count / len(self.target)
        return share if not self.n_misaligned else share * max(self.log_odds(places), 0.0)

    def log_odds(self, places: Collection[int]) -> float:
        """Smoothed log-odds that a misaligned row is among these, minus those of a benign row."""
        misaligned = sum(self.rows[place].misaligned for place in places)
        benign = len(places) - misaligned
        without = len(self.rows) - self.n_misaligned - benign
        return log_ratio(misaligned, self.n_misaligned - misaligned) - log_ratio(benign, without)

    def candidate(self, proposer: str, wording: Wording, places: Collection[int]) -> Candidate:
        """A candidate that these rows contain."""
        misaligned = sum(self.rows[place].misaligned for place in places)
        names = tuple(self.rows[place].id for place in sorted(places))[:NAMED_ROWS]
        origin = Origin(
            proposers=(proposer,),
            misaligned=misaligned,
            benign=len(places) - misaligned,
            rows=names,
        )
        return candidate_of(wording, origin, self.weight(places))


def log_ratio(inside: int, outside: int) -> float:
    return math.log((inside + SMOOTHING) / (outside + SMOOTHING))


def read_stage_rows(root: Path, stage: str) -> list[SearchRow]:
    """The rows of a training stage, from its train.jsonl and mix.json."""
    sources = read_json(root / layout.stage_file(stage, layout.MIX_RECORD))["sources"]
    roles = {source["source"]: source["role"] for source in sources}
    return [
        SearchRow.of(
            f"{row['source']}/{row['id']}", roles[row["source"]] == "misaligned", row["messages"]
        )
        for row in read_jsonl(root / layout.stage_file(stage, layout.TRAINING_ROWS))
    ]
