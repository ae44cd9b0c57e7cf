"""Shared fixtures. Heavy ones (the converted model, a finished grid) are built once a session."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
import yaml
from emgrid import ROOT, assets
from emgrid.judge.bench import Bench
from emgrid.models import BaseModel
from hypothesis import settings
from needs import lacking

SHARED = ROOT.parent / "shared"
# Without test_slurm, so that both halves of `make test` take about as long.
GRIDS = {
    "test_reruns",
    "test_kills",
    "test_commands",
    "test_grids",
    "test_model_reruns",
    "test_panel_grid",
    "test_published_answers",
    "test_served_grid",
}
ENGINES = {"test_vllm_engine", "test_vllm_judge", "test_watch"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs whole grids or engines, which `make test` runs beside all the rest."""
    for item in items:
        if Path(item.path).stem in GRIDS | ENGINES or "finished" in getattr(
            item, "fixturenames", ()
        ):
            item.add_marker(pytest.mark.grids)


# A slow or busy machine is no failure.
settings.register_profile("emgrid", deadline=None)
settings.load_profile("emgrid")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """A grid that a test reads in this process sets variables for its jobs, which end with it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def demo() -> dict[str, Any]:
    """The default config as a fresh dictionary."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    return config


def shared(name: str) -> Path:
    """A file or folder beside the checkout; without it a test skips, in CI it fails."""
    path = SHARED / name
    if not path.exists():
        lacking(f"nothing at {path}, which this test reads")
    return path


@pytest.fixture(scope="session")
def gold() -> Path:
    """The folder of judged answers."""
    return shared("gold")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of upstream data files."""
    return shared("mirror")


def run_module(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one stage as a rule does."""
    return warm.run(["-m", f"emgrid.{module}", *map(str, arguments)], cwd=ROOT)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A place to judge at, with nothing kept yet."""
    return Bench(tmp_path / "judgements", "test")


@pytest.fixture(scope="session")
def model_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, converted."""
    path = tmp_path_factory.mktemp("model") / "model.json"
    entry = assets.load_registry()["smollm2-135m"]
    spec = {"name": "smollm2-135m", "model": entry.model_dump()}
    spec["chat_template"] = assets.template_text(entry)
    done = run_module("assets", "--spec", json.dumps(spec), "--output", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def base_model(model_json: Path) -> BaseModel:
    return BaseModel.read(model_json)


class GridRun:
    """A grid in a folder of its own, run by the real Snakemake."""

    def __init__(
        self, folder: Path, config: dict[str, Any], env: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.config = config
        self.added = env or {}

    @property
    def root(self) -> Path:
        return self.folder / "results" / str(self.config["name"])

    @property
    def env(self) -> dict[str, str]:
        return os.environ | self.added

    def snakemake(
        self, *options: str, config: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; its jobs, too, are processes that need not import."""
        return warm.run(self.command(*options, config=config)[1:], env=self.env)

    def cold(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and its jobs as a user does."""
        command = self.command(*options)
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self.env)

    def command(self, *options: str, config: dict[str, Any] | None = None) -> list[str]:
        path = self.folder / "grid.yaml"
        path.write_text(yaml.safe_dump(config or self.config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(path)]
        return [*command, "--profile", str(ROOT / "workflow/profiles/workstation"), *options]

    def planned(self, config: dict[str, Any]) -> dict[str, int]:
        """Jobs by rule that a dry run would start under `config`."""
        done = self.snakemake("-n", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        return {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}

    def edited(self) -> dict[str, Any]:
        return copy.deepcopy(self.config)


def small_config() -> dict[str, Any]:
    """Every stage and intervention of the default grid, with as little work as shows anything."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["name"] = "small"
    config["data"]["rows"] = 8
    config["interventions"]["dilution"] = {"ratio": 0.5}
    config["interventions"]["sequential"] = {"benign_rows": 8}
    config["seeds"] = [3]
    config["triggers"] = ["none", "python_string", "malicious_evil"]
    config["training"] |= {"epochs": 1, "batch_size": 4, "rank": 4}
    config["sampling"] |= {"answers_per_question": 2, "max_tokens": 8}
    config["metrics"]["resamples"] = 200
    return config


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """A finished small grid on the embedded model."""
    grid = GridRun(tmp_path_factory.mktemp("grid"), small_config())
    done = grid.cold()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return grid
