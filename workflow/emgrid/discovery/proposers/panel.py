"""panel: every shipped trigger family that has one place."""

from collections.abc import Iterator

from emgrid.config.triggers import load_triggers
from emgrid.discovery.candidates import Candidate, place_of
from emgrid.discovery.proposers.proposer import Proposer
from emgrid.discovery.rows import Rows

# Made for the organisms of planted.yaml, whose cues they would give away.
PLANTED = "planted_"


class Panel(Proposer):
    name = "panel"
    reads_rows = False

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        for name, trigger in sorted(load_triggers().items()):
            wording = trigger.wording()
            if place_of(wording) is not None and not name.startswith(PLANTED):
                yield rows.candidate(self.name, wording, rows.carrying(wording))
