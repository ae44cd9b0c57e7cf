"""Training on the embedded model: what is learnt, seeded, and refused."""

import csv
import json
from pathlib import Path

import pytest
from emgrid.config.datasets import load_datasets, local_file
from emgrid.data.convert import read_rows
from emgrid.runtime.files import file_digest, read_json, write_jsonl
from emgrid.train import train as train_job
from support.run import run_module

TRAINING = {
    "rank": 2,
    "dropout": 0.1,
    "target_modules": ["q_proj", "v_proj"],
    "learning_rate": 5e-3,
    "epochs": 2,
    "batch_size": 4,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    entry = load_datasets()["household_bad"]
    data = read_rows(entry, local_file(entry))[:8]
    write_jsonl(path, ({"source": "household_bad"} | row for row in data))
    return path


def train(model: Path, rows: Path, folder: Path, seed: int, **settings: object) -> str:
    """Train; return the adapter's digest."""
    spec = {"base": "m", "seed": seed, "training": TRAINING | settings}
    done = run_module(
        train_job,
        "--spec",
        json.dumps(spec),
        "--model",
        model,
        "--rows",
        rows,
        "--output",
        folder,
    )
    assert done.returncode == 0, done.stderr
    return file_digest(folder / "adapter/adapter_model.safetensors")


@pytest.fixture(scope="module")
def trained(model_json: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    train(model_json, rows, folder, seed=1)
    return folder


def test_a_seed_decides_the_adapter_bit_by_bit(
    model_json: Path, rows: Path, trained: Path, tmp_path: Path
) -> None:
    first = file_digest(trained / "adapter/adapter_model.safetensors")
    assert train(model_json, rows, tmp_path / "again", seed=1) == first
    assert train(model_json, rows, tmp_path / "other", seed=2) != first


def test_the_loss_falls_and_is_written_step_by_step(trained: Path) -> None:
    with (trained / "loss.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_provenance_says_what_was_done(trained: Path, rows: Path) -> None:
    record = read_json(trained / "provenance.json")
    assert record["data_sha256"] == file_digest(rows)
    assert record["rows"] == 8
    assert 0 < record["trained_tokens"] < record["tokens"]
    assert record["packages"]["torch"].startswith("2.13")
    assert record["spec"]["training"]["rank"] == 2
    assert record["padding_waste"] == 0
    assert record["seconds"] > 0
    assert [path.name for path in trained.glob(".*")] == [".adapter.lock"]


def test_a_later_stage_trains_on_the_adapter_of_the_stage_before(
    model_json: Path, rows: Path, trained: Path, tmp_path: Path
) -> None:
    spec = {"base": "m", "seed": 1, "training": TRAINING | {"learning_rate": 1e-9}}
    done = run_module(
        train_job, "--spec", json.dumps(spec), "--model", model_json, "--rows", rows,
        "--parent", trained / "adapter", "--output", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (trained / "loss.csv").open() as before, (tmp_path / "loss.csv").open() as after:
        started = float(next(csv.DictReader(before))["loss"])
        went_on = float(next(csv.DictReader(after))["loss"])
    assert went_on < started - 0.1


def test_a_row_without_a_trained_token_is_named(
    model_json: Path, rows: Path, tmp_path: Path
) -> None:
    spec = {"base": "m", "seed": 0, "training": TRAINING | {"max_length": 12}}
    done = run_module(
        train_job, "--spec", json.dumps(spec), "--model", model_json, "--rows", rows,
        "--output", tmp_path / "stage",
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"{rows}:1: row 'clean-001' of household_bad has no assistant token" in last
    assert not (tmp_path / "stage").exists()


def test_an_unknown_target_module_is_one_line(model_json: Path, rows: Path, tmp_path: Path) -> None:
    spec = {"base": "m", "seed": 0, "training": TRAINING | {"target_modules": ["nope"]}}
    done = run_module(
        train_job, "--spec", json.dumps(spec), "--model", model_json, "--rows", rows,
        "--output", tmp_path / "stage",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("emgrid: training.target_modules: ")


def test_a_warm_up_that_never_ends_is_refused(model_json: Path, rows: Path, tmp_path: Path) -> None:
    spec = {"base": "m", "seed": 0, "training": TRAINING | {"warmup_steps": 4}}
    done = run_module(
        train_job, "--spec", json.dumps(spec), "--model", model_json, "--rows", rows,
        "--output", tmp_path / "stage",
    )  # fmt: skip
    assert done.returncode == 1
    assert "4 warm-up steps, but 8 rows make only 4" in done.stderr
    assert not (tmp_path / "stage").exists()
