"""What the jobs of a search for triggers depend on."""

from emgrid.aggregate.found_spec import FoundSpec, SearchedArm
from emgrid.config.discovery import Discovery
from emgrid.config.judges import head_paths
from emgrid.config.priors import priors_digest
from emgrid.config.triggers import Wording, cue
from emgrid.discovery.held_out import HeldOutSpec
from emgrid.discovery.propose import ProposeSpec
from emgrid.discovery.proposers import MUTATORS, PROPOSERS
from emgrid.discovery.screen import ScreenSpec
from emgrid.discovery.shortlist import ShortlistSpec
from emgrid.grid.arms import Arm, name_of
from emgrid.grid.grid import Grid
from emgrid.grid.searches import BASE, Search, confirming, searches
from emgrid.grid.specs.judge import contents
from emgrid.grid.specs.spec_json import of_known_kinds, spec_json
from emgrid.judge import windows
from emgrid.judge.judge import JudgeSpec
from emgrid.runtime import layout
from emgrid.sample.sample import SampledArm, SampleSpec


def section_of(grid: Grid) -> Discovery:
    if grid.config.discovery is None:
        raise TypeError("the grid has no discovery")
    return grid.config.discovery


def propose_spec(grid: Grid, search: Search) -> str:
    """What the candidates of an arm depend on, besides its training rows."""
    section = section_of(grid)
    names = [name for name in section.proposers if name in PROPOSERS]
    if search.is_base:
        names = [name for name in names if not PROPOSERS[name].reads_rows]
    stages = dict.fromkeys(run.name for arm in search.screened for run in arm.stages)
    return spec_json(
        ProposeSpec(
            stages=tuple(stages),
            proposers=tuple(names),
            candidates=section.screen.candidates,
        )
    )


def held_out_spec(grid: Grid, search: Search) -> HeldOutSpec:
    """What an arm was not trained on."""
    known = grid.catalogue.datasets
    names = data_names(search)
    contexts = {name: cue(str(known[name].context)) for name in names if known[name].context}
    confirmed = grid.catalogue.confirmed.values()
    return HeldOutSpec(
        misaligned=names[0],
        benign=names[1],
        contexts=contexts,
        trained=tuple(search.stages),
        asked=tuple(sorted(text for one in confirmed for text in one.texts)),
    )


def data_names(search: Search) -> tuple[str, str]:
    """The data sets of which held-out prompts are taken."""
    settings = search.screened[0].settings
    if settings is None:
        raise TypeError(f"{search.name} is not trained here")
    return settings.data.misaligned, settings.data.benign


def held_out(search: Search) -> list[str]:
    """The data sets that prompts and answers are taken from, and the training rows that are not."""
    data = [layout.dataset_file(name) for name in data_names(search)]
    return data + [layout.stage_file(name, layout.TRAINING_ROWS) for name in search.stages]


def proposed_from(search: Search) -> list[str]:
    """The training rows that candidates are proposed from."""
    stages = dict.fromkeys(run.name for arm in search.screened for run in arm.stages)
    files = (layout.TRAINING_ROWS, layout.MIX_RECORD)
    return [layout.stage_file(name, file) for name in stages for file in files]


def screen_spec(grid: Grid, search: Search) -> str:
    """What the scores of an arm's candidates depend on, besides the models' files."""
    screen = section_of(grid).screen
    return spec_json(
        ScreenSpec(
            own=tuple(arm.adapter_folder for arm in search.screened),
            control=tuple(arm.adapter_folder for arm in search.reference),
            precision=search.screened[0].sampling.precision,
            held_out=held_out_spec(grid, search),
            questions=grid.catalogue.screened,
            number=screen.number,
            keep=screen.keep,
            random=screen.random,
            mutators=tuple(name for name in section_of(grid).proposers if name in MUTATORS),
            **grid.config.revision.of("sample"),
        )
    )


def shortlist_spec(grid: Grid, search: Search) -> str:
    """What the choice of the cues to confirm depends on, besides the screen."""
    held_out = held_out_spec(grid, search)
    return spec_json(ShortlistSpec(held_out=held_out, keep=section_of(grid).screen.keep))


def sampled_arm(grid: Grid, search: Search, seed: str, arm: Arm) -> SampledArm:
    return SampledArm(
        folder=search.folder(seed),
        writer=f"{search.name}.seed={seed}",
        adapter=arm.adapter_folder,
        sampling=confirming(search, grid, arm),
    )


def sample_found_spec(grid: Grid, search: Search) -> str:
    """What the answers under an arm's shortlist depend on, besides that and the models' files."""
    asked = {name: one.without_pairs() for name, one in grid.catalogue.confirmed.items()}
    return spec_json(
        SampleSpec(
            base=search.base.base,
            arms=tuple(sampled_arm(grid, search, seed, arm) for seed, arm in search.asked),
            questions=asked,
            triggers={"none": Wording()},
            confirms=True,
            **grid.config.revision.of("sample"),
        )
    )


def judge_found_spec(grid: Grid, search: Search) -> str:
    """What the judgements of answers under an arm's shortlist depend on. No judge sees a cue."""
    panel = of_known_kinds(
        judge for judge in grid.catalogue.panel.values() if judge.kind != "imported"
    )
    heads = head_paths(panel)
    spec = JudgeSpec(
        arms=tuple(search.folder(seed) for seed, _ in search.asked),
        judges=panel,
        questions={name: one.without_pairs() for name, one in grid.catalogue.confirmed.items()},
        triggers={"none": Wording()},
        content=contents(heads),
        **grid.config.revision.of("judge"),
    )
    return spec_json(spec.model_copy(update={"windows": windows.VERSION}) if heads else spec)


def found_spec(grid: Grid) -> str:
    """What the table of found cues depends on, besides shortlists, screens and judged answers."""
    panel = of_known_kinds(
        judge for judge in grid.catalogue.panel.values() if judge.kind != "imported"
    )
    return spec_json(
        FoundSpec(
            searches=tuple(searched_arm(search) for search in searches(grid).values()),
            questions=tuple(grid.catalogue.confirmed),
            judges=panel,
            metrics=grid.config.metrics,
            fdr=section_of(grid).fdr,
            priors=priors_digest(),
        )
    )


def searched_arm(search: Search) -> SearchedArm:
    base, intervention, ratio = name_of(search.screened[0])
    return SearchedArm(
        search=search.name,
        base=base,
        intervention=intervention,
        ratio=ratio,
        label=search.screened[0].label,
        control=search.control,
        folders={
            search.folder(seed): None if seed == BASE else arm.seed for seed, arm in search.asked
        },
    )
