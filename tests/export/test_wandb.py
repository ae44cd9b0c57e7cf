"""What is logged to Weights & Biases: told by a module in wandb's place that writes down what it is
given, and where wandb is installed by itself, offline."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from emgrid.export import wandb
from emgrid.runtime.files import canonical
from support.run import run_module

STAND_IN = '''
"""Writes down the calls of emgrid.export.wandb, with the signatures of wandb 0.31."""
import json, os
from pathlib import Path


class Error(Exception):
    pass


class Artifact:
    def __init__(self, name, type, description=None, metadata=None):
        self.said = {"name": name, "type": type, "dirs": {}, "files": []}

    def add_dir(self, local_path, name=None):
        files = [one for one in Path(local_path).rglob("*") if one.is_file()]
        self.said["dirs"][name] = sorted(str(one.relative_to(local_path)) for one in files)

    def add_file(self, local_path, name=None):
        self.said["files"].append(name or Path(local_path).name)


class Run:
    url = None

    def __init__(self, said, folder):
        self.said, self.dir = said, str(folder)

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        Path(os.environ["SAID"]).write_text(json.dumps(self.said))

    def log_artifact(self, artifact):
        self.said["artifacts"].append(artifact.said)


def init(project=None, entity=None, name=None, mode=None, dir=None):
    if mode == "online" and "WANDB_API_KEY" not in os.environ:
        raise Error("api_key not configured (no-tty)\\nmore")
    folder = Path(dir) / "wandb"
    folder.mkdir()
    said = {"project": project, "entity": entity, "name": name, "mode": mode, "artifacts": []}
    return Run(said, folder)
'''
REAL = importlib.util.find_spec("wandb") is not None


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    for name in ("tables/rates.csv", "figures/rates.svg", "report.html", "rows/answers/x.jsonl"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    return root


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module in wandb's place writes what it was given."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "wandb.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("SAID", str(tmp_path / "said.json"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return tmp_path / "said.json"


def push(root: Path, **fields: Any) -> subprocess.CompletedProcess[str]:
    spec = canonical({"name": "demo", "wandb": {"project": "emgrid", "mode": "offline"} | fields})
    return run_module(wandb, "--spec", spec, "--root", root)


def test_tables_figures_and_report_are_one_artifact_and_nothing_else(
    results: Path, stand_in: Path
) -> None:
    done = push(results, entity="us")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(results / "wandb")
    sent = json.loads(stand_in.read_text())
    assert (sent["project"], sent["entity"], sent["name"], sent["mode"]) == (
        "emgrid", "us", "demo", "offline"
    )  # fmt: skip
    assert sent["artifacts"] == [
        {
            "name": "demo",
            "type": "results",
            "dirs": {"tables": ["rates.csv"], "figures": ["rates.svg"]},
            "files": ["report.html"],
        }
    ]


@pytest.mark.usefixtures("stand_in")
def test_a_refusal_is_one_line_with_advice(results: Path) -> None:
    done = push(results, mode="online")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "emgrid: Weights & Biases: api_key not configured (no-tty); set WANDB_API_KEY, or "
        "export.wandb.mode: offline"
    )


@pytest.mark.skipif(not REAL, reason="wandb is not installed (pip install -e '.[wandb]')")
def test_wandb_itself_takes_it_offline(results: Path) -> None:
    done = push(results)
    assert done.returncode == 0, done.stderr
    (run,) = (results / "wandb").glob("offline-run-*")
    (log,) = run.glob("run-*.wandb")
    assert log.stat().st_size > 100
    assert str(results) in done.stdout
