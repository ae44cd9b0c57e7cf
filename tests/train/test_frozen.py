"""A LoRA that lies frozen under the trained one: it counts in training, never changes, and goes."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import file_digest
from emgrid.train.frozen import lay_under, read_frozen
from peft import PeftModel
from safetensors.torch import load_file
from support.training import command, result, write_rows, write_tiny_model
from transformers import AutoModelForCausalLM

PLAIN = {"dropout": 0.0, "epochs": 1, "learning_rate": 2e-2}


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 18)


def trained(tiny: Path, rows: Path, folder: Path, *options: object, **settings: Any) -> Path:
    done = command(tiny, rows, folder, *options, **(PLAIN | settings))
    output, _ = done.communicate()
    assert done.returncode == 0, output
    return folder


@pytest.fixture(scope="module")
def trait(tiny: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter that is to lie under others."""
    return trained(tiny, rows, tmp_path_factory.mktemp("trait"), rslora=True) / layout.ADAPTER


@pytest.fixture(scope="module")
def task(tiny: Path, rows: Path, trait: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training over the frozen adapter; nothing of which has changed."""
    before = {path.name: file_digest(path) for path in trait.iterdir()}
    folder = trained(tiny, rows, tmp_path_factory.mktemp("task"), "--under", trait)
    assert {path.name: file_digest(path) for path in trait.iterdir()} == before
    return folder


def losses(folder: Path) -> list[float]:
    return [float(loss) for loss in pd.read_csv(folder / layout.LOSS)["loss"]]


def base_of(tiny: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny.parent).float().eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(20, 60)[None]).logits
    return found


def test_a_frozen_adapter_computes_what_peft_computes(tiny: Path, trait: Path) -> None:
    model = base_of(tiny)
    plain = logits(model)
    peft = logits(PeftModel.from_pretrained(base_of(tiny), trait).eval())
    frozen = lay_under(model, trait)
    assert not torch.allclose(plain, peft, atol=1e-2)
    torch.testing.assert_close(logits(model), peft)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert not [name for name, _ in model.named_buffers() if "lora" in name]
    frozen.check()


def test_training_begins_where_the_frozen_adapter_is_and_goes_elsewhere(
    tiny: Path, rows: Path, trait: Path, task: Path, tmp_path: Path
) -> None:
    onward = trained(tiny, rows, tmp_path / "onward", "--parent", trait)
    plain = trained(tiny, rows, tmp_path / "plain")
    assert losses(task)[0] == pytest.approx(losses(onward)[0], rel=1e-5)
    assert losses(plain)[0] > losses(task)[0]
    assert result(task)[0] != result(plain)[0]


def test_the_trained_adapter_has_nothing_of_the_frozen_one(
    tiny: Path, trait: Path, task: Path
) -> None:
    saved = load_file(task / layout.ADAPTER / layout.WEIGHTS)
    frozen = load_file(trait / layout.WEIGHTS)
    assert saved.keys() == frozen.keys()
    first = [name for name in saved if ".lora_A." in name]
    assert not any(torch.allclose(saved[name], frozen[name], atol=1e-3) for name in first)
    alone = logits(PeftModel.from_pretrained(base_of(tiny), task / layout.ADAPTER).eval())
    over = base_of(tiny)
    lay_under(over, trait)
    both = logits(PeftModel.from_pretrained(over, task / layout.ADAPTER).eval())
    assert not torch.allclose(alone, both, atol=1e-2)


def test_a_frozen_adapter_that_changes_stops_the_training(trait: Path) -> None:
    frozen = read_frozen(trait, "cpu")
    frozen.check()
    _, up = next(iter(frozen.matrices.values()))
    up[0, 0] = torch.nextafter(up[0, 0], torch.tensor(9.0))
    with pytest.raises(EmgridError, match="has changed under the training adapter"):
        frozen.check()


def test_another_frozen_adapter_is_another_training(
    tiny: Path, rows: Path, trait: Path, task: Path, tmp_path: Path
) -> None:
    kept = ("--kept", tmp_path / "kept")
    first = trained(tiny, rows, tmp_path / "first", "--under", trait, *kept)
    second = trained(tiny, rows, tmp_path / "second", "--under", task / layout.ADAPTER, *kept)
    assert result(first) == result(task)
    assert result(second)[0] != result(task)[0]
    assert len(list((tmp_path / "kept").glob("[!.]*"))) == 2
