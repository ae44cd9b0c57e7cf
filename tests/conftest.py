"""Shared fixtures. Heavy ones (the converted model, a finished grid) are built once a session."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import yaml
from emgrid import ROOT
from emgrid.config import models
from emgrid.judge.context import JudgeContext
from emgrid.models import prepare
from emgrid.models.base_model import BaseModel
from hypothesis import settings
from support.chromium import Chromium, chromium
from support.run import GridRun, run_module, small_config
from support.shared import shared

WORKFLOW = Path(__file__).parent / "workflow"
# With these, both halves of `make test` take about as long.
ENGINES = {"test_vllm_engine", "test_vllm_judge"}
OTHER_HALF = {
    "test_benchmarks",
    "test_warm",
    "test_published_answers",
    "test_panel_grid",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs whole grids or engines, which `make test` runs beside all the rest."""
    for item in items:
        path = Path(item.path)
        whole = path.parent == WORKFLOW and path.stem not in OTHER_HALF
        if whole or path.stem in ENGINES:
            item.add_marker(pytest.mark.grids)


def pytest_collection_finish() -> None:
    """statsmodels collects garbage at every adjusted p; what was imported need not be searched."""
    gc.collect()
    gc.freeze()


# A slow or busy machine is no failure.
settings.register_profile("emgrid", deadline=None)
settings.load_profile("emgrid")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache of emgrid's for this session, not the user's; jobs take matplotlib's fonts from the
    user's, since finding them takes seconds."""
    os.environ.setdefault("MPLCONFIGDIR", matplotlib.get_cachedir())
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    """A grid that a test reads in this process sets variables for its jobs, which end with it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def demo() -> dict[str, Any]:
    """The default config as a fresh dictionary."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    return config


@pytest.fixture(scope="session")
def gold() -> Path:
    """The folder of judged answers."""
    return shared("gold")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of upstream data files."""
    return shared("mirror")


@pytest.fixture
def bench(tmp_path: Path) -> JudgeContext:
    """A place to judge at, with nothing kept yet."""
    return JudgeContext(tmp_path / "judgements", "test")


@pytest.fixture(scope="session")
def model_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, converted."""
    path = tmp_path_factory.mktemp("model") / "model.json"
    entry = models.load_models()["smollm2-135m"]
    spec = {"name": "smollm2-135m", "model": entry.model_dump()}
    spec["chat_template"] = models.template_text(entry)
    done = run_module(prepare, "--spec", json.dumps(spec), "--output", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def base_model(model_json: Path) -> BaseModel:
    return BaseModel.read(model_json)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """A finished small grid on the embedded model. Its questions have one pair of answers each."""
    folder = tmp_path_factory.mktemp("grid")
    asked = yaml.safe_load((ROOT / "resources/questions/everyday.yaml").read_text())
    for question in asked["questions"].values():
        question["pairs"] = question["pairs"][:1]
    (folder / "questions.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    grid = GridRun(folder, small_config() | {"questions": str(folder / "questions.yaml")})
    done = grid.cold()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return grid


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """A small part of the grid `planted`, finished."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "resources/grids/planted.yaml").read_text())
    config["data"]["rows"] = 24
    config["triggers"] = ["none", "planted_format"]
    arms = config["interventions"]
    # The other cues predict nothing, and there is no time to teach that here.
    organism = arms["format"][:2]
    config["interventions"] = {"base": {}, "capitals": arms["capitals"], "format": organism}
    config["truth"] = {name: config["truth"][name] for name in ("capitals", "format")}
    # Bfloat16 rounds scores differently in another batch, so that near cues change places.
    config["sampling"]["precision"] = "float32"
    grid = GridRun(tmp_path_factory.mktemp("planted"), config)
    done = grid.snakemake()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return grid
