"""Drift: results that were made with other versions of packages, or of emgrid, than are installed.

Drift is reported and never causes a run. To compute results again, raise `revision` in the config.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.grid.grid import Grid
from emgrid.runtime import layout
from emgrid.runtime.files import read_json
from emgrid.runtime.provenance import versions

# The packages that a job computes with; the others only affect how it runs.
MATTERS = {
    "train": ("emgrid", "torch", "transformers", "peft", "trl", "tokenizers"),
    "sample": ("emgrid", "torch", "transformers", "peft", "tokenizers"),
    "served": ("emgrid",),
}
DONE = {"train": "trained", "sample": "sampled", "served": "sampled at its endpoint"}


@dataclass(frozen=True)
class Drift:
    """results: number of stages or arms that were made with the version `recorded`."""

    stage: str
    package: str
    recorded: str
    installed: str
    results: int

    def __str__(self) -> str:
        what = "stage" if self.stage == "train" else "arm"
        return (
            f"{DONE[self.stage]} with {self.package} {self.recorded}, installed {self.installed} "
            f"({self.results} {what}{'' if self.results == 1 else 's'})"
        )


def drift(grid: Grid, root: Path) -> list[Drift]:
    """All differences, the most frequent first."""
    installed = versions()
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for rule, packages in recorded(grid, root):
        for name in MATTERS[rule]:
            recorded_version, current = packages.get(name), installed.get(name, "none")
            if recorded_version is not None and recorded_version != current:
                counts[rule, name, recorded_version, current] += 1
    return [Drift(*about, results) for about, results in counts.most_common()]


def recorded(grid: Grid, root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The packages that each result of the grid was made with, and the rule that made it."""
    for stage in grid.stages.values():
        yield from packages_of("train", root / stage.folder / layout.PROVENANCE)
    for arm in grid.sampled:
        kind = "served" if arm.served else "sample"
        yield from packages_of(kind, root / arm.folder / layout.ANSWERS / layout.PROVENANCE)


def packages_of(stage: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.is_file():
        yield stage, read_json(path)["packages"]
