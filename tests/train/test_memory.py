"""How a training is computed – in which memory, by how many processes – and what that changes."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.config.config import Config
from emgrid.config.sections import StageResources, Training
from emgrid.models.base_model import BaseModel
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, read_jsonl
from emgrid.train.checkpoints import Checkpoints
from emgrid.train.fit import MEMORY_PLANS, PACKS, SINGLE, Fitted, Job, MemoryPlan, fit, in_memory
from emgrid.train.train import tokenize
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from support.needs import lacking
from support.run import small_config
from support.training import TRAINING, command, write_rows, write_tiny_model


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 13)


@pytest.fixture
def train(tiny: Path, rows: Path, tmp_path: Path) -> Callable[..., Fitted]:
    """Train in this process."""

    def fitted(way: MemoryPlan = PACKS, **settings: Any) -> Fitted:
        base = BaseModel.read(tiny)
        training = Training.model_validate(TRAINING | {"dropout": 0.0} | settings)
        tokenized, _ = tokenize(read_jsonl(rows), base.chat(), training, rows)
        checkpoints = Checkpoints(tmp_path, way.name)
        return fit(Job(tokenized, base, training, 1, None, "cpu", checkpoints, 10), way)

    return fitted


def weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(fitted.model)
    return state


def test_gradient_checkpointing_changes_no_bit(train: Callable[..., Fitted]) -> None:
    plain, recomputed = train(), train(MEMORY_PLANS["true"][0])
    assert recomputed.losses == plain.losses
    expected, other = weights(plain), weights(recomputed)
    assert expected.keys() == other.keys()
    assert all(torch.equal(expected[name], other[name]) for name in expected)


def test_rows_alone_train_the_adapter_of_packed_rows(train: Callable[..., Fitted]) -> None:
    packed, single = train(), train(SINGLE)
    assert packed.record["computed"] == "packed rows"
    assert single.record["computed"] == "one row at a time"
    assert packed.record["padding_waste"] == single.record["padding_waste"] == 0
    assert_alike(weights(packed), weights(single))


def assert_alike(expected: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Equal but for the order in which numbers were added."""
    assert expected.keys() == other.keys()
    for name, value in expected.items():
        torch.testing.assert_close(other[name], value, rtol=1e-2, atol=1e-4)


def test_two_processes_train_the_adapter_of_one(
    tiny: Path, rows: Path, train: Callable[..., Fitted], tmp_path: Path
) -> None:
    # 13 rows in batches of 6: in the last step of an epoch one process has none.
    launcher = StageResources(gpu=2).launcher
    done = command(tiny, rows, tmp_path / "two", launcher=launcher, dropout=0.0)
    plain = train()
    output, _ = done.communicate()
    assert done.returncode == 0, output
    record = read_json(tmp_path / "two/provenance.json")
    assert record["processes"] == 2
    assert record["padding_waste"] > 0
    with (tmp_path / "two/loss.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([step["loss"] for step in plain.losses], rel=1e-4)
    assert_alike(weights(plain), load_file(tmp_path / "two/adapter/adapter_model.safetensors"))


def test_a_batch_that_gpus_cannot_share_is_refused_with_the_config() -> None:
    config = small_config() | {"device": "cuda"}
    config["resources"] = {"train": {"gpu": 3}}
    with pytest.raises(ValueError, match="batch_size: 4 rows cannot be shared evenly by 3 GPUs"):
        Config.model_validate(config)
    Config.model_validate(config | {"device": "cpu"})
    Config.model_validate(config | {"resources": {"train": {"gpu": 2}}})


def test_one_gpu_needs_no_launcher() -> None:
    assert StageResources(gpu=1).launcher == StageResources().launcher == "python"


def test_an_adapter_on_the_head_is_refused() -> None:
    with pytest.raises(ValueError, match="'lm_head' cannot carry an adapter"):
        Training(target_modules=("q_proj", "lm_head"))


def test_memory_that_runs_out_is_met_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    tried = []

    def attempt(way: MemoryPlan) -> str:
        tried.append((way.packed, way.recompute))
        if not way.recompute:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "trained"

    assert in_memory(MEMORY_PLANS["auto"], attempt) == "trained"
    assert tried == [(True, False), (False, False), (False, True)]
    assert capsys.readouterr().out.splitlines() == [
        "CUDA is out of memory with packed rows",
        "CUDA is out of memory with one row at a time",
    ]
    tried.clear()
    with pytest.raises(EmgridError, match="gradient_checkpointing: auto, lower"):
        in_memory(MEMORY_PLANS["false"], attempt)
    assert tried == [(True, False), (False, False)]


def test_one_of_several_processes_ends_where_memory_runs_out() -> None:
    """The others wait for it in a collective, where another try of its own would leave them."""
    tried = []

    def attempt(way: MemoryPlan) -> None:
        tried.append(way)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(EmgridError, match=r"one of 2 GPUs.*gradient_checkpointing: true, lower"):
        in_memory(MEMORY_PLANS["auto"], attempt, processes=2)
    assert tried == [PACKS]


def test_an_error_that_is_not_about_memory_is_raised_at_once() -> None:
    def attempt(way: MemoryPlan) -> None:
        raise RuntimeError(way.name)

    with pytest.raises(RuntimeError, match=r"^packed rows$"):
        in_memory(MEMORY_PLANS["auto"], attempt)


def qlora_is_there() -> None:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        lacking("bitsandbytes is not installed (make .venv/.qlora): nothing trained in 4 bits")


def test_a_base_in_four_bits_trains_nearly_the_same_adapter(
    train: Callable[..., Fitted],
) -> None:
    qlora_is_there()
    exact, near = train(), train(method="qlora")
    quantised = {type(module).__name__ for module in near.model.modules()}
    assert "Linear4bit" in quantised
    losses = [[step["loss"] for step in fitted.losses] for fitted in (exact, near)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    first, two = weights(exact), weights(near)
    assert first.keys() == two.keys()
    assert {value.dtype for value in two.values()} == {torch.float32}
    alike = [
        torch.cosine_similarity(first[name].flatten(), two[name].flatten(), dim=0).item()
        for name in first
        if "lora_B" in name  # zero before the training
    ]
    assert sum(alike) / len(alike) > 0.5


def test_four_bits_without_bitsandbytes_are_one_line(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(EmgridError, match=r"qlora needs bitsandbytes; pip install -e '\.\[qlora"):
        BaseModel.read(tiny).load("float32", "cpu", quantised=True)
