"""The catalogue: what the names of a config stand for is read once, as the config is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emgrid import RESOURCES
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.data import mix_spec
from emgrid.grid.specs.judge import judge_spec
from emgrid.grid.specs.models import model_spec
from emgrid.grid.specs.sample import sample_spec


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The YAML files of resources/ that are opened from now on; specs hash other files."""
    files: list[Path] = []
    real = Path.open

    def watched(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".yaml" and path.resolve().is_relative_to(RESOURCES):
            files.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", watched)
    return files


def specs_of(grid: Grid) -> list[Callable[[], str]]:
    [stage, *_] = grid.stages
    return [
        lambda: model_spec(grid, grid.config.base_models[0]),
        lambda: mix_spec(grid, stage),
        lambda: sample_spec(grid, grid.buckets[0]),
        lambda: judge_spec(grid, grid.judged[0]),
        lambda: aggregate_spec(grid),
    ]


def test_specs_open_no_entry_of_resources_again(demo: dict[str, Any], opened: list[Path]) -> None:
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    assert opened  # the question set is never cached
    opened.clear()
    for make in specs_of(grid):
        make()
    assert opened == []


def test_a_catalogue_holds_the_files_and_the_configs_own_entries(demo: dict[str, Any]) -> None:
    demo["models"] = {"mine": {"hub": "someone/model", "revision": "a" * 40}}
    demo["triggers"] = ["none", "json_format"]
    experiment = load_experiment(demo, "grid.yaml", check_data=False)
    catalogue = experiment.catalogue
    assert {"mine", *demo["base_models"]} < set(catalogue.models)
    assert set(demo["triggers"]) < set(catalogue.triggers)
    assert list(catalogue.panel) == sorted(judge.id for judge in experiment.config.judges)
    assert set(catalogue.panel) < set(catalogue.judges)
    assert all(catalogue.judges[name] == judge for name, judge in catalogue.panel.items())
    assert list(Grid(experiment).triggers) == list(experiment.config.triggers)
