"""system: every system prompt that at least two rows have."""

from collections.abc import Iterator

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Candidate
from emgrid.discovery.proposers.proposer import Proposer
from emgrid.discovery.rows import Rows

FEWEST_PROMPTS = 2


class SystemPrompts(Proposer):
    name = "system"

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        for system in sorted({row.system for row in rows.rows if row.system}):
            places = [place for place, row in enumerate(rows.rows) if row.system == system]
            if len(places) >= FEWEST_PROMPTS:
                yield rows.candidate(self.name, Wording(system=system), places)
