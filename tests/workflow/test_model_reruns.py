"""What other files of a user's base model run again: all that depends on them, and nothing more."""

import copy
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from emgrid.runtime.files import read_json
from support import warm
from support.reruns import QuickGrid, config_of
from support.training import other_weights, write_tiny_model

Config = dict[str, Any]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> Path:
    """The folder of a tiny model, as a user has one."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(model_json, folder).unlink()
    return folder


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> QuickGrid:
    """A finished grid on a user's model, whose computing is made up."""
    folder = tmp_path_factory.mktemp("quick")
    shutil.copytree(tiny, folder / "mine")
    config = config_of(Path("mine"))
    config["interventions"] = {
        "base": {"sampling": {"answers_per_question": 2}},
        "undiluted": {},
    }
    config["training"]["max_length"] = 512
    grid = QuickGrid(folder, config)
    grid.added["XDG_CACHE_HOME"] = str(folder / "cache")
    grid.run()
    return grid


@pytest.fixture
def copied(quick: QuickGrid, tmp_path: Path) -> QuickGrid:
    shutil.copytree(quick.folder / "mine", tmp_path / "mine")
    grid = quick.copy_to(tmp_path)
    grid.added["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return grid


def why(grid: QuickGrid) -> dict[str, Any]:
    grid.command()
    command = ["-m", "emgrid.cli.main", "why", "--configfile", "grid.yaml", "--json"]
    done = warm.run(command, cwd=grid.folder, env=grid.env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def computed(grid: QuickGrid, config: Config | None = None) -> dict[str, int]:
    before = len(grid.computed())
    grid.run(config=config)
    return dict(Counter(words[0] for words in grid.computed()[before:]))


def test_other_weights_run_again_what_depends_on_them_and_say_so(copied: QuickGrid) -> None:
    folder = copied.folder / "mine"
    shutil.copy(folder / "model.safetensors", copied.folder / "saved")
    assert why(copied)["jobs"] == []
    other_weights(folder)
    found = why(copied)
    (model,) = [group for group in found["groups"] if group["rule"] == "model"]
    (reason,) = model["reasons"]
    assert reason.startswith("content.model.safetensors: ")
    assert {"model", "train", "sample", "likelihood", "judge"} <= {
        group["rule"] for group in found["groups"]
    }
    anew = {cost["rule"]: cost["new"] for cost in found["costs"]}
    answers = 2 * 2 * 8 * 2  # arms, triggers, questions, answers
    assert anew["train"] == 1
    assert anew["sample"] == answers
    done = computed(copied)
    assert done["training"] == 1
    assert done["answer"] == answers
    # The earlier weights find the earlier rows.
    (copied.folder / "saved").replace(folder / "model.safetensors")
    assert computed(copied) == {}


def test_a_touched_or_moved_model_runs_nothing_and_is_found(copied: QuickGrid) -> None:
    for path in (copied.folder / "mine").iterdir():
        os.utime(path, None)
    assert copied.planned(copied.config) == {}
    (copied.folder / "mine").rename(copied.folder / "elsewhere")
    config = copy.deepcopy(copied.config)
    config["models"]["plain"]["path"] = "elsewhere"
    moved = copied.planned(config)
    assert moved.keys() <= {"report", "all"}
    # The record made before leads the jobs of a further seed to where the model is now.
    config["seeds"] = [3, 4]
    assert computed(copied, config)["training"] == 1
    place = read_json(copied.root / "assets/models/plain/place.json")
    assert place == {"path": str(copied.folder / "elsewhere")}
