"""What the jobs that make training rows depend on."""

from pathlib import Path

from emgrid.config.judges import head_paths
from emgrid.data.convert import DatasetSpec
from emgrid.data.fetch import FetchSpec
from emgrid.data.mix import MixSpec, used_sources
from emgrid.data.preflight import PreflightSpec
from emgrid.data.qualify import QualifySpec
from emgrid.data.select import SelectSpec
from emgrid.grid.grid import Grid
from emgrid.grid.specs.spec_json import DESCRIPTIONS, of_known_kinds, spec_json
from emgrid.judge import windows
from emgrid.runtime.files import file_digest

# Which fields are unused on purpose changes what is refused, and no row.
NOT_OF_ROWS = {"dataset": DESCRIPTIONS | {"unused"}}


def content(path: Path | None) -> str | None:
    """The hash of a user's file, which identifies it in specs: it may be moved, copied, touched."""
    return file_digest(path) if path is not None and path.is_file() else None


def fetch_spec(grid: Grid, name: str) -> str:
    """What a fetched data set is, and where it comes from."""
    dataset = grid.catalogue.datasets[name]
    return spec_json(
        FetchSpec(
            name=name,
            file=dataset.name,
            url=dataset.url,
            hub=dataset.hub,
            revision=dataset.revision,
            sha256=dataset.sha256,
            bytes=dataset.bytes,
        )
    )


def fetch_import_spec(grid: Grid, key: str) -> str:
    """What a fetched file of answers is, and where it comes from."""
    sources = [arm.source for arm in grid.imported if arm.source and arm.source.key == key]
    file, url = sources[0].name, sources[0].url
    sha256, size = sources[0].sha256, sources[0].bytes
    return spec_json(FetchSpec(name=key, file=file, url=url, sha256=sha256, bytes=size))


def dataset_spec(grid: Grid, name: str) -> str:
    """What a data set's rows depend on; a user's own file counts by its content."""
    spec = DatasetSpec(
        name=name, dataset=grid.catalogue.datasets[name], content=content(grid.own_file(name))
    )
    return spec_json(spec, NOT_OF_ROWS)


def generate_spec(grid: Grid, name: str) -> str:
    """What answers that are trained on depend on, besides the model's files."""
    return spec_json(grid.drawn[name].spec)


def qualify_spec(grid: Grid, name: str) -> str:
    """What makes training rows of generated answers."""
    known = grid.catalogue.judges
    judges = of_known_kinds(known[judge] for judge in dict.fromkeys(grid.keep_judges(name)))
    spec = QualifySpec(name=name, keep=grid.generated[name].generation.keep, judges=judges)
    heads = {path.name: file_digest(path) for path in head_paths(judges)}
    if heads:
        spec = spec.model_copy(update={"content": heads, "windows": windows.VERSION})
    return spec_json(spec)


def select_spec(grid: Grid, name: str) -> str:
    """What chosen rows depend on, besides the models' files."""
    chosen = grid.selected[name]
    training = chosen.selection.misaligned.training
    return spec_json(
        SelectSpec(
            dataset=chosen.selection.dataset,
            rows=chosen.rows,
            candidates=chosen.selection.candidates,
            seed=chosen.seed,
            precision=chosen.selection.precision,
            max_length=training.max_length,
            turns=training.turns,
        )
    )


def file_name(grid: Grid, dataset: str) -> str:
    """The name of a data set's file in messages."""
    if dataset in grid.generated:
        return grid.generated[dataset].file
    if dataset in grid.selected:
        dataset = grid.selected[dataset].selection.dataset
    return grid.catalogue.datasets[dataset].name


def mix_spec(grid: Grid, name: str) -> str:
    """What the training rows of a stage are mixed of."""
    run = grid.stages[name]
    files = {
        source.dataset: file_name(grid, source.dataset) for source, _ in used_sources(run.mixture)
    }
    return spec_json(MixSpec(stage=run.mixture, seed=run.seed, files=files), sparse=["stage"])


def preflight_spec(grid: Grid, name: str) -> str:
    """What the check of a stage's training rows depends on."""
    run = grid.stages[name]
    thoughts = (source.dataset for source in run.mixture.sources if source.thoughts)
    return spec_json(
        PreflightSpec(
            stage=name,
            base=run.base,
            max_length=run.mixture.training.max_length,
            turns=run.mixture.training.turns,
            thoughts=tuple(thoughts),
            levels=grid.config.preflight,
        )
    )
