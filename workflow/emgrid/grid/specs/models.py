"""What the jobs that make base models ready depend on: the model, and its prompts to check."""

from emgrid.config.datasets import Dataset
from emgrid.config.interventions.recipe import Source
from emgrid.config.judges import LocalJudge
from emgrid.config.models import template_text
from emgrid.config.triggers import Wording, cue
from emgrid.grid.generated import GeneratedDataset
from emgrid.grid.grid import Grid
from emgrid.grid.specs.spec_json import DESCRIPTIONS, spec_json
from emgrid.models import gguf_file
from emgrid.models.prepare import ModelSpec
from emgrid.models.prompts import PromptsSpec

# The spec has its own field for the system prompt.
NOT_OF_MODELS = {"model": DESCRIPTIONS | {"system_prompt"}}


def model_spec(grid: Grid, base: str) -> str:
    """What a base model is; a user's own folder counts by its content."""
    model = grid.catalogue.models[base]
    spec = ModelSpec(name=base, chat_template=template_text(model))
    if model.system_prompt is not None:
        spec = spec.model_copy(update={"system_prompt": model.system_prompt})
    if model.path is not None:
        return spec_json(spec.model_copy(update={"content": grid.model_content(base)}))
    if model.gguf is not None:
        spec = spec.model_copy(update={"tokenizer": gguf_file.VERSION})
    return spec_json(spec.model_copy(update={"model": model}), NOT_OF_MODELS)


def asked_models(grid: Grid) -> list[str]:
    """The base models that anything is asked of."""
    judges = [judge.model for judge in local_judges(grid)]
    generators = [drawn.generator for drawn in grid.drawn.values()]
    return list(dict.fromkeys([*(arm.base for arm in grid.trained), *generators, *judges]))


def local_judges(grid: Grid) -> list[LocalJudge]:
    """The judges that are loaded here, of the panel and of those that filter generated rows."""
    known = grid.catalogue.judges
    names = [*grid.catalogue.panel]
    for generated in grid.generated:
        names += grid.keep_judges(generated)
    judges = [known[name] for name in dict.fromkeys(names)]
    return [judge for judge in judges if isinstance(judge, LocalJudge)]


def prompts_spec(grid: Grid, base: str) -> str:
    """What a base model is asked, and the wordings around its training rows."""
    arms = [arm for arm in grid.trained if arm.base == base]
    return spec_json(
        PromptsSpec(
            base=base,
            questions=grid.asked if arms else {},
            triggers=grid.wordings if arms else {},
            recipes=recipe_wordings(grid, base),
            thinking=tuple(sorted({arm.sampling.thinking for arm in arms})),
            judges=tuple(judge.id for judge in local_judges(grid) if judge.model == base),
        )
    )


def recipe_wordings(grid: Grid, base: str) -> dict[str, tuple[Wording, ...]]:
    """By intervention: the wordings in which a base model gets training rows, each once."""
    recipes: dict[str, dict[str, Wording]] = {}
    for arm in grid.trained:
        for run in arm.stages:
            for source in run.mixture.sources:
                found = wordings(source, arm.base == base, base, grid)
                if found or arm.base == base:
                    recipe = recipes.setdefault(arm.entry, {})
                    recipe |= {wording.model_dump_json(): wording for wording in found}
    return {name: tuple(recipe.values()) for name, recipe in recipes.items()}


def wordings(source: Source, trained: bool, base: str, grid: Grid) -> list[Wording]:
    """The wordings in which a base model gets the rows of a source, to train on or to answer."""
    found = []
    if source.generation is not None:
        generated = GeneratedDataset(source.dataset.split(".")[0], base, source.generation)
        asked = trained or base in [drawn.generator for drawn in generated.drawn[1:]]
        if asked and source.generation.system:
            found.append(Wording(system=source.generation.system))
    if trained:
        found += [wording for framing in source.framings for wording in framing.pool]
        dataset: Dataset | None = grid.catalogue.datasets.get(source.dataset)
        if dataset is not None and dataset.context is not None:
            found.append(cue(dataset.context))
    return found
