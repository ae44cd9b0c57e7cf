"""The searches of a grid for triggers that nobody listed: one for each arm without its seed."""

from dataclasses import dataclass
from functools import cached_property

from emgrid.config.sections import Sampling
from emgrid.grid.arms import Arm, benign_of, name_of
from emgrid.grid.grid import Grid
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError

BASE = "base"  # in place of a training seed


@dataclass(frozen=True)
class Search:
    """screened, confirmed: the arms of the screening and of the confirming seeds. reference: the
    arms whose shift is taken off in the screen; none for the base model. base: the base model's
    own arm. control: whether there is nothing to find. all: the arms of every seed."""

    screened: tuple[Arm, ...]
    confirmed: tuple[Arm, ...]
    reference: tuple[Arm, ...]
    base: Arm
    control: bool
    all: tuple[Arm, ...]

    @cached_property
    def name(self) -> str:
        base, intervention, ratio = name_of(self.screened[0])
        return layout.search_name(base, intervention, ratio)

    @property
    def is_base(self) -> bool:
        """Whether it searches the base model itself."""
        return self.screened[0].last is None

    @property
    def asked(self) -> list[tuple[str, Arm]]:
        """The arms that are asked under found cues, each with what names its folder."""
        own = [] if self.is_base else [(str(arm.seed), arm) for arm in self.confirmed]
        return [*own, (BASE, self.base)]

    def folder(self, seed: str) -> str:
        return layout.found_folder(self.name, seed)

    @property
    def adapters(self) -> list[str]:
        """The records of the adapters that the screen uses."""
        arms = (*self.screened, *self.reference)
        return list(dict.fromkeys(arm.last.adapter_record for arm in arms if arm.last))

    @property
    def confirmed_adapters(self) -> list[str]:
        return [arm.last.adapter_record for _, arm in self.asked if arm.last]

    @property
    def stages(self) -> list[str]:
        """The training stages of all seeds."""
        return list(dict.fromkeys(run.name for arm in self.all for run in arm.stages))


def searches(grid: Grid) -> dict[str, Search]:
    """The searches of a grid by name; none without the section `discovery`.

    EmgridError: an arm lacks a seed that the section names.
    """
    section = grid.config.discovery
    if section is None:
        return {}
    by_name: dict[tuple[str, str, str], list[Arm]] = {}
    for arm in grid.trained:
        by_name.setdefault(name_of(arm), []).append(arm)
    found = {}
    for (base, *_), arms in by_name.items():
        entry = arms[0].entry
        wanted = entry in section.arms or (not section.arms and bool(arms[0].stages))
        if not wanted and entry not in section.controls:
            continue
        bases = [arm for arm in grid.trained if arm.base == base and arm.last is None]
        search = Search(
            screened=with_seeds(arms, section.screen.seeds, "screen"),
            confirmed=with_seeds(arms, section.confirm.seeds, "confirm"),
            reference=reference(grid, arms[0], bases[0]),
            base=bases[0],
            control=entry in section.controls,
            all=tuple(arms),
        )
        found[search.name] = search
    return found


def with_seeds(arms: list[Arm], seeds: tuple[int, ...], part: str) -> tuple[Arm, ...]:
    """The arms of these seeds; of a base model its one arm."""
    if not arms[0].stages:
        return (arms[0],)
    chosen = [arm for arm in arms if arm.seed in seeds]
    if len(chosen) < len(seeds):
        known = ", ".join(str(arm.seed) for arm in arms)
        raise EmgridError(
            f"{part}.seeds: {arms[0].entry} has the seeds {known} alone; name some of "
            "these, or leave it out of the search"
        )
    return tuple(chosen)


def reference(grid: Grid, arm: Arm, base: Arm) -> tuple[Arm, ...]:
    """The arms whose shift is taken off the arm's: trained without the cue if the grid has some on
    the screening seeds, and else the base model."""
    section = grid.config.discovery
    if section is None or not arm.stages:
        return ()
    name = section.reference or benign_of(arm, grid.config.interventions)
    if name is None or name == arm.entry:
        return (base,)
    known = [
        one
        for one in grid.trained
        if (one.base, one.entry) == (arm.base, name) and one.seed in section.screen.seeds
    ]
    first = [one for one in known if name_of(one) == name_of(known[0])]
    if len(first) == len(section.screen.seeds):
        return tuple(first)
    if section.reference is None or name == "base":
        return (base,)
    raise EmgridError(f"reference: {name} is not trained on all of screen.seeds")


def confirming(search: Search, grid: Grid, arm: Arm) -> Sampling:
    """How an arm's answers under found cues are drawn. The base model gives as many as all seeds of
    the arm together."""
    section = grid.config.discovery
    if section is None:
        raise TypeError("the grid has no discovery")
    times = len(section.confirm.seeds) if arm is search.base else 1
    number = section.confirm.answers_per_question * times
    return arm.sampling.model_copy(update={"answers_per_question": number})
