"""Which prompts each base model of a grid gets, as the check of prompts is handed them."""

from emgrid.config.datasets import Dataset
from emgrid.config.interventions.recipe import Source
from emgrid.config.judges import LocalJudge
from emgrid.config.triggers import Wording, cue
from emgrid.grid.arms import Generated
from emgrid.grid.grid import Grid
from emgrid.runtime.files import canonical


def asked_models(grid: Grid) -> list[str]:
    """The base models that anything is asked of."""
    judges = [judge.model for judge in local_judges(grid)]
    generators = [drawn.generator for drawn in grid.drawn.values()]
    return list(dict.fromkeys([*(arm.base for arm in grid.trained), *generators, *judges]))


def local_judges(grid: Grid) -> list[LocalJudge]:
    """The judges of the panel, and those that keep generated rows, that are loaded here."""
    known = grid.config.known_judges()
    names = [*grid.config.panel()]
    for made in grid.generated:
        names += grid.keep_judges(made)
    judges = [known[name] for name in dict.fromkeys(names)]
    return [judge for judge in judges if isinstance(judge, LocalJudge)]


def prompts_spec(grid: Grid, base: str) -> str:
    """What a base model is asked, and what stands around its training rows."""
    arms = [arm for arm in grid.trained if arm.base == base]
    recipes: dict[str, dict[str, Wording]] = {}
    for arm in grid.trained:
        for stage in arm.stages:
            for source in stage.stage.sources:
                found = wordings(source, arm.base == base, base, grid)
                if found or arm.base == base:
                    told = recipes.setdefault(arm.entry, {})
                    told |= {one.model_dump_json(): one for one in found}
    return canonical(
        {
            "base": base,
            "questions": grid.asked() if arms else {},
            "triggers": grid.trigger_wordings() if arms else {},
            "recipes": {
                name: [one.model_dump(exclude_defaults=True) for one in told.values()]
                for name, told in recipes.items()
            },
            "thinking": sorted({arm.sampling.thinking for arm in arms}),
            "judges": [judge.id for judge in local_judges(grid) if judge.model == base],
        }
    )


def wordings(source: Source, trained: bool, base: str, grid: Grid) -> list[Wording]:
    """The wordings in which a base model gets the rows of a source, to train on or to answer."""
    found = []
    if source.generation is not None:
        made = Generated(source.dataset.split(".")[0], base, source.generation)
        if trained or base in [drawn.generator for drawn in made.drawn[1:]]:
            found.append(Wording(system=source.generation.system))
    if trained:
        found += [wording for framing in source.framings for wording in framing.pool]
        dataset: Dataset | None = grid.known_datasets.get(source.dataset)
        if dataset is not None and dataset.context is not None:
            found.append(cue(dataset.context))
    return found
