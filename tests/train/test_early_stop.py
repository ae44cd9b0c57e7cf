"""Adapters that one training saves on its way are those of a training that ends there."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, read_json
from emgrid.train.stops import step_at
from hypothesis import given
from hypothesis import strategies as st
from support.training import (
    EVERY_STEP,
    command,
    kill_after,
    result,
    write_rows,
    write_tiny_model,
)

STEPS = 12  # of 33 rows in batches of 6, twice
STOPS = {"stops": ["0.25", "0.5"]}
CONSTANT = {"schedule": "constant"}


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 33)


def train(tiny: Path, rows: Path, folder: Path, *options: object, **settings: Any) -> str:
    done = command(tiny, rows, folder, *options, **settings)
    output, _ = done.communicate()
    assert done.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def whole(tiny: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that saved its adapter on its way, next to its store."""
    folder = tmp_path_factory.mktemp("whole") / "stage"
    train(tiny, rows, folder, "--kept", folder.parent / "kept", further=STOPS, **CONSTANT)
    return folder


def test_half_of_the_steps_leave_the_adapter_of_half_a_training(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    """With a constant learning rate, the first of two epochs is a training of its own."""
    train(tiny, rows, tmp_path, epochs=1, **CONSTANT)
    assert result(whole / "stops/0.5")[0] == result(tmp_path)[0]
    assert result(whole / "stops/0.25")[0] != result(tmp_path)[0]
    assert result(whole)[0] != result(tmp_path)[0]


def test_what_a_stop_records_is_what_it_was_trained_on(whole: Path) -> None:
    losses = pd.read_csv(whole / layout.LOSS)["loss"].tolist()
    ends = (("0.25", 3, 18), ("0.5", 6, 33))
    for share, steps, seen in ends:
        folder = whole / layout.STOPS / share
        record = read_json(folder / layout.PROVENANCE)
        assert (record["spec"]["until"], record["steps"], record["rows"]) == (share, steps, seen)
        assert record["adapter_sha256"] == file_digest(folder / layout.ADAPTER / layout.WEIGHTS)
        assert pd.read_csv(folder / layout.LOSS)["loss"].tolist() == losses[:steps]
    assert not (whole / "checkpoints").exists()


def test_the_arm_that_stops_takes_its_adapter_and_trains_nothing(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    arm, kept = tmp_path / "arm", tmp_path / "kept"
    further = {"until": "0.25"}
    output = train(tiny, rows, arm, "--whole", whole, "--kept", kept, further=further, **CONSTANT)
    assert "step" not in output.replace("of the steps of", "")
    assert result(arm) == result(whole / "stops/0.25")
    record = read_json(arm / layout.ADAPTER_RECORD)
    assert record["sha256"] == file_digest(arm / layout.ADAPTER / layout.WEIGHTS)
    assert len(list(kept.glob("[!.]*"))) == 1


def test_a_stop_that_was_not_saved_is_told(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    done = command(tiny, rows, tmp_path, "--whole", whole, further={"until": "0.75"}, **CONSTANT)
    output, _ = done.communicate()
    assert done.returncode == 1
    assert f"emgrid: {whole}/stops/0.75: the training has saved no adapter here" in output
    assert not (tmp_path / layout.ADAPTER_RECORD).exists()


def test_stored_stops_come_back_and_a_new_one_is_trained_for(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(whole.parent / "kept", kept)
    again = tmp_path / "again"
    assert "done before" in train(
        tiny, rows, again, "--kept", kept, further={"stops": ["0.5"]}, **CONSTANT
    )
    assert result(again) == result(whole)
    assert result(again / "stops/0.5") == result(whole / "stops/0.5")
    more = {"stops": ["0.5", "0.75"]}
    assert "done before" not in train(tiny, rows, again, "--kept", kept, further=more, **CONSTANT)
    assert result(again) == result(whole)
    assert read_json(again / "stops/0.75/provenance.json")["steps"] == 9


def test_a_killed_training_saves_the_same_stops(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    started = command(tiny, rows, tmp_path, *EVERY_STEP, further=STOPS, **CONSTANT)
    kill_after(started, tmp_path, 4)  # after the first stop; the second may be there or not
    assert not (tmp_path / layout.STOPS).exists()
    assert "resuming after step" in train(tiny, rows, tmp_path, further=STOPS, **CONSTANT)
    for share in STOPS["stops"]:
        assert result(tmp_path / "stops" / share) == result(whole / "stops" / share)


def test_a_checkpoint_that_is_past_a_new_stop_is_not_used(
    tiny: Path, rows: Path, whole: Path, tmp_path: Path
) -> None:
    kill_after(command(tiny, rows, tmp_path, *EVERY_STEP, **CONSTANT), tmp_path, 4)
    assert "resuming" not in train(tiny, rows, tmp_path, further=STOPS, **CONSTANT)
    assert result(tmp_path / "stops/0.25") == result(whole / "stops/0.25")
    assert result(tmp_path) == result(whole)


@given(st.integers(1, 100), st.integers(1, 10_000))
def test_a_share_is_at_a_step_of_the_training(percent: int, steps: int) -> None:
    step = step_at(str(percent / 100), steps)
    assert 1 <= step <= steps
    assert abs(step - percent / 100 * steps) <= max(0.5 + 1e-9, 1 - percent / 100 * steps)
