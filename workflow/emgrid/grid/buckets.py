"""Which arms share one job: buckets of the arms of one base model.

An arm's bucket follows from its own name, so that a new arm moves no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emgrid.grid.arms import Arm
from emgrid.runtime.files import digest


@dataclass(frozen=True)
class Bucket:
    """Arms of one base model that one job works on. kind: what its arms have in common besides."""

    base: str
    kind: str
    number: int
    arms: tuple[Arm, ...]

    @property
    def name(self) -> str:
        """Names rules, logs and files."""
        return f"{self.base}.{self.kind}.{self.number}"

    @property
    def adapters(self) -> list[str]:
        """Records of the adapters of the arms that have one, below the grid's folder."""
        last = [arm.stages[-1] for arm in self.arms if arm.stages]
        return list(dict.fromkeys(stage.adapter_record for stage in last))


def share_out(arms: Sequence[Arm], jobs: int, kind: Callable[[Arm], str]) -> list[Bucket]:
    """The buckets that hold any arm, at most `jobs` for each base model and kind."""
    shared: dict[tuple[str, str, int], list[Arm]] = {}
    for arm in arms:
        number = int(digest(arm.cell)[:12], 16) % jobs
        shared.setdefault((arm.base, kind(arm), number), []).append(arm)
    return [Bucket(*key, tuple(held)) for key, held in sorted(shared.items())]
