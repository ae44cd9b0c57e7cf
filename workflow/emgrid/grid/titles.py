"""What people call the jobs of a grid: by arm, intervention and seed, not by hash or bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emgrid.grid.arms import Arm
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.grid.searches import Search

SHOWN = 3  # arms in a title


@dataclass(frozen=True)
class Titles:
    """Titles by name, for messages of rules: `{TITLES:{wildcards.stage}}`."""

    by_name: Mapping[str, str]

    def __format__(self, name: str) -> str:
        return self.by_name.get(name, name)


def arm_title(arm: Arm, several_bases: bool) -> str:
    """An arm in words, such as `dilution 0.25, seed 0`; with its base model if there are others."""
    base = f" of {arm.base}" if several_bases else ""
    if arm.last is None:
        return f"{arm.intervention}{base}"
    ratio = "" if arm.ratio in ("0", "1") else f" {arm.ratio}"
    return f"{arm.intervention}{ratio}{base}, seed {arm.seed}"


def search_titles(grid: Grid, searches: Mapping[str, Search]) -> Titles:
    """The searches for triggers: arms without their seeds."""
    several = len({arm.base for arm in grid.arms}) > 1
    return Titles(
        {
            name: arm_title(search.screened[0], several).split(", seed ")[0]
            for name, search in searches.items()
        }
    )


def shortened(titles: Sequence[str]) -> str:
    """The first titles, and how many more there are."""
    distinct = list(dict.fromkeys(titles))
    more = f"; and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return "; ".join(distinct[:SHOWN]) + more


def stage_titles(grid: Grid) -> Titles:
    """The training stages: the arm that a stage belongs to, and the others that share it."""
    several = len({arm.base for arm in grid.arms}) > 1
    arms_by_stage: dict[str, list[str]] = {}
    for arm in grid.arms:
        for place, stage in enumerate(arm.stages, start=1):
            part = f" (stage {place} of {len(arm.stages)})" if len(arm.stages) > 1 else ""
            arms_by_stage.setdefault(stage.name, []).append(arm_title(arm, several) + part)
    titles = {}
    for name, (first, *others) in arms_by_stage.items():
        titles[name] = f"{first} (also: {shortened(others)})" if others else first
    for run in grid.stages.values():
        for other in run.needs:
            titles.setdefault(other.name, f"what {titles.get(run.name, run.name)} needs")
    return Titles(titles)


def bucket_titles(grid: Grid, buckets: Mapping[str, Bucket]) -> Titles:
    """The jobs that work on several arms."""
    several = len({arm.base for arm in grid.arms}) > 1
    return Titles(
        {
            name: shortened([arm_title(arm, several) for arm in bucket.arms])
            for name, bucket in buckets.items()
        }
    )
