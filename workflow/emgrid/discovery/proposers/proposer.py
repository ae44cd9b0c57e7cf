"""What a proposer is: it reads training rows and names cues that may be triggers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from emgrid.discovery.candidates import Candidate
from emgrid.discovery.rows import Rows

FEWEST = 3  # rows that must share a text before it is a cue


class Proposer(ABC):
    """One way to find cues. name: of its module, which configs and tables use."""

    name: ClassVar[str]
    # Whether its cues come from the rows, so that an arm without training has none.
    reads_rows: ClassVar[bool] = True

    @abstractmethod
    def propose(self, rows: Rows) -> Iterator[Candidate]:
        """Candidates of an arm's rows. No order means anything."""


class Mutator(ABC):
    """One way to change a cue that survived the screen."""

    name: ClassVar[str]

    @abstractmethod
    def mutate(self, candidate: Candidate) -> Iterator[Candidate]:
        """Changed candidates, each with the given one as its parent."""
