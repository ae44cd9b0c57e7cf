"""Results that were made with other packages, or another emgrid, than are installed now.

It is told, and never a reason to run: `revision` in the config is how to ask for that.
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

# What a stage computes with: the others change how it is run.
MATTERS = {
    "train": ("emgrid", "torch", "transformers", "peft", "trl", "tokenizers"),
    "sample": ("emgrid", "torch", "transformers", "peft", "tokenizers"),
    "served": ("emgrid",),
}
DONE = {"train": "trained", "sample": "sampled", "served": "sampled at its endpoint"}


@dataclass(frozen=True)
class Drift:
    """results: so many stages, or arms, were made with `recorded`."""

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
    """All differences, those that most results have first."""
    installed = versions()
    found: Counter[tuple[str, str, str, str]] = Counter()
    for stage, packages in recorded(grid, root):
        for name in MATTERS[stage]:
            before, now = packages.get(name), installed.get(name, "none")
            if before is not None and before != now:
                found[stage, name, before, now] += 1
    return [Drift(*about, results) for about, results in found.most_common()]


def recorded(grid: Grid, root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The packages of each result of the grid, by its stage."""
    for stage in grid.stages.values():
        yield from packages_of("train", root / stage.folder / layout.PROVENANCE)
    for arm in grid.sampled:
        kind = "served" if arm.served else "sample"
        yield from packages_of(kind, root / arm.folder / layout.ANSWERS / layout.PROVENANCE)


def packages_of(stage: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.is_file():
        yield stage, read_json(path)["packages"]
