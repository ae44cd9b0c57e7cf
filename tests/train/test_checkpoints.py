"""A training that is killed goes on where it stopped, and only there."""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from emgrid.models.base_model import BaseModel
from emgrid.runtime.files import file_digest, read_json, write_json
from emgrid.train import train
from emgrid.train.checkpoints import Checkpoints, seconds_before
from support.training import (
    EVERY_STEP,
    TRAINING,
    command,
    kill_after,
    result,
    write_rows,
    write_tiny_model,
)


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 33)


@pytest.fixture(scope="module")
def unbroken(tiny: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's folder after a training that nothing stopped and that kept no checkpoint."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = command(tiny, rows, folder)
    output, _ = done.communicate()
    assert done.returncode == 0, output
    assert sorted(path.name for path in folder.iterdir()) == [
        ".adapter.lock",
        "adapter",
        "adapter.json",
        "loss.csv",
        "provenance.json",
    ]
    return folder


def test_a_killed_training_continues_to_the_same_adapter_bit_by_bit(
    tiny: Path, rows: Path, unbroken: Path, tmp_path: Path
) -> None:
    kill_after(
        command(tiny, rows, tmp_path, *EVERY_STEP), tmp_path, 8
    )  # of 12, inside the second epoch
    assert not (tmp_path / "adapter").exists()
    last = max(int(path.name[5:]) for path in tmp_path.glob("checkpoints/*/step-*"))
    assert last >= 8
    done = command(tiny, rows, tmp_path)
    output, _ = done.communicate()
    assert done.returncode == 0, output
    assert f"resuming after step {last} of 12" in output
    assert f" {last}/12 [" in output
    assert " 12/12 [" in output
    assert result(tmp_path) == result(unbroken)
    assert read_json(tmp_path / "provenance.json")["resumed_after_step"] == last
    assert not (tmp_path / "checkpoints").exists()


def make(checkpoints: Checkpoints, step: int, seconds: float = 1) -> None:
    draft = checkpoints.drafts / f"checkpoint-{step}"
    draft.mkdir(parents=True)
    (draft / "weights").write_text(f"weights of step {step}")
    checkpoints.adopt(draft, step, seconds)


def test_the_last_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "mine")
    assert checkpoints.last() is None
    for step in (2, 9, 10):
        make(checkpoints, step, seconds=10.5 * step)
    last = checkpoints.last()
    assert last is not None
    assert (last / "weights").read_text() == "weights of step 10"
    assert seconds_before(last) == 105
    assert [path.name for path in last.parent.iterdir()] == ["step-10"]
    checkpoints.clear()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "mine")
    draft = checkpoints.drafts / "checkpoint-3"
    draft.mkdir(parents=True)
    (draft / "weights").write_text("half of the wei")
    assert checkpoints.last() is None
    checkpoints.drop_others()
    assert not draft.exists()


def test_another_trainings_checkpoint_is_dropped(tmp_path: Path) -> None:
    mine, other = Checkpoints(tmp_path, "mine"), Checkpoints(tmp_path, "other")
    make(other, 3)
    make(mine, 2)
    assert mine.last() == mine.own_folder / "step-2"
    mine.drop_others()
    assert other.last() is None
    assert mine.last() == mine.own_folder / "step-2"


def test_everything_that_an_adapter_depends_on_makes_another_training(
    tiny: Path, rows: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(model: Path = tiny, **changes: Any) -> str:
        all_arguments = {"rows": rows, "parent": None, "device": "cpu"} | changes
        seed, settings = all_arguments.pop("seed", 1), TRAINING | all_arguments.pop("settings", {})
        spec = json.dumps({"base": "tiny", "seed": seed, "training": settings})
        read = train.TrainSpec.model_validate_json(spec)
        arguments, base = argparse.Namespace(**all_arguments), BaseModel.read(model)
        parent = arguments.parent and file_digest(arguments.parent / "adapter_model.safetensors")
        return train.resumable(arguments, train.identity(read, base, arguments.rows, parent), base)

    copied = tmp_path / "copied.jsonl"
    shutil.copy(rows, copied)
    assert name() == name(rows=copied)
    edited = tmp_path / "edited.jsonl"
    edited.write_text(re.sub("a", "e", rows.read_text(), count=1))
    other = tmp_path / "model"
    shutil.copytree(tiny.parent, other)
    record = read_json(other / "model.json")
    write_json(other / "model.json", record | {"revision": "a later one"})
    names = [
        name(),
        name(seed=2),
        name(settings={"learning_rate": 1e-4}),
        name(rows=edited),
        name(parent=unbroken / "adapter"),
        name(device="cuda"),
        name(other / "model.json"),
    ]
    monkeypatch.setenv("WORLD_SIZE", "2")
    names.append(name())
    assert len(set(names)) == len(names)
