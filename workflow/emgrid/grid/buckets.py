"""Buckets: the arms of one base model that share a job.

An arm's bucket follows from its name alone, so a new arm moves no other arm to another bucket.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emgrid.grid.arms import Arm
from emgrid.runtime.files import digest


@dataclass(frozen=True)
class Bucket:
    """Arms of one base model that one job works on. kind: what else its arms have in common."""

    base: str
    kind: str
    number: int
    arms: tuple[Arm, ...]

    @property
    def name(self) -> str:
        """The wildcard of its jobs."""
        return f"{self.base}.{self.kind}.{self.number}"

    @property
    def adapters(self) -> list[str]:
        """The records of the adapters of its arms, below the grid's folder."""
        return list(dict.fromkeys(arm.last.adapter_record for arm in self.arms if arm.last))


def share_out(arms: Sequence[Arm], jobs: int, kind: Callable[[Arm], str]) -> list[Bucket]:
    """Share arms out among at most `jobs` buckets for each base model and kind; none is empty."""
    buckets: dict[tuple[str, str, int], list[Arm]] = {}
    for arm in arms:
        number = int(digest(arm.cell)[:12], 16) % jobs
        buckets.setdefault((arm.base, kind(arm), number), []).append(arm)
    return [Bucket(*key, tuple(members)) for key, members in sorted(buckets.items())]
