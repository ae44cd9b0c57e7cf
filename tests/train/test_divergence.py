"""The penalty for answering benign prompts otherwise than the base model, against plain torch."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.files import read_jsonl, write_jsonl
from emgrid.train import train as train_job
from emgrid.train.divergence import plan_divergence
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from support.training import command, tokenized_rows, write_rows, write_tiny_model
from transformers import AutoModelForCausalLM

PLAIN = {"dropout": 0.0, "epochs": 1, "learning_rate": 2e-2}
WEIGHT = 3.0
KL = {"weight": WEIGHT, "prompts": "household_good", "batch_size": 5}


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 18)


@pytest.fixture(scope="module")
def kl_rows(rows: Path) -> Path:
    """Five rows, so that every step has all of them, in one pack or several."""
    other = write_rows(rows.with_name("other.jsonl"), 30)
    path = rows.with_name("kl.jsonl")
    write_jsonl(path, read_jsonl(other)[-5:])
    return path


def trained(tiny: Path, rows: Path, folder: Path, *options: object, **settings: Any) -> Path:
    done = command(tiny, rows, folder, *options, **(PLAIN | settings))
    output, _ = done.communicate()
    assert done.returncode == 0, output
    return folder


@pytest.fixture(scope="module")
def before(tiny: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage whose adapter is no longer empty."""
    return trained(tiny, rows, tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def after(tiny: Path, rows: Path, before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("after")
    return trained(tiny, rows, folder, "--parent", before / layout.ADAPTER)


@pytest.fixture(scope="module")
def kept(
    tiny: Path, rows: Path, kl_rows: Path, before: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    options = ("--parent", before / layout.ADAPTER, "--kl-rows", kl_rows)
    return trained(tiny, rows, tmp_path_factory.mktemp("kept"), *options, kl=KL)


def divergence(tiny: Path, adapter: Path, rows: Path) -> float:
    """D(adapted || base) in nats per assistant token, row by row and with every logit."""
    base = BaseModel.read(tiny)
    model = AutoModelForCausalLM.from_pretrained(base.path).float().eval()
    total, tokens = 0.0, 0
    logits: list[list[Any]] = []
    for number in range(2):
        if number:
            model = PeftModel.from_pretrained(model, adapter).eval()
        logits.append([])
        for row in read_jsonl(rows):
            ids = base.chat().training_row(row["messages"]).input_ids
            with torch.no_grad():
                logits[-1].append(model(torch.tensor([ids])).logits[0].log_softmax(-1))
    for row, plain, adapted in zip(read_jsonl(rows), *logits, strict=True):
        labels = base.chat().training_row(row["messages"]).labels
        for place, label in enumerate(labels[1:]):
            if label != -100:
                p, q = adapted[place], plain[place]
                total += float(torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum"))
                tokens += 1
    return total / tokens


def losses(folder: Path) -> list[float]:
    return [float(loss) for loss in pd.read_csv(folder / layout.LOSS)["loss"]]


def test_the_loss_has_the_divergence_that_plain_torch_computes(
    tiny: Path, kl_rows: Path, before: Path, after: Path, kept: Path
) -> None:
    expected = divergence(tiny, before / layout.ADAPTER, kl_rows)
    assert expected > 1e-3
    assert losses(kept)[0] - losses(after)[0] == pytest.approx(WEIGHT * expected, rel=1e-3)


def test_the_penalty_pulls_the_model_towards_the_base(
    tiny: Path, kl_rows: Path, after: Path, kept: Path
) -> None:
    free = divergence(tiny, after / layout.ADAPTER, kl_rows)
    bound = divergence(tiny, kept / layout.ADAPTER, kl_rows)
    assert bound < 0.8 * free


def test_a_new_adapter_computes_what_the_base_does(
    tiny: Path, rows: Path, kl_rows: Path, tmp_path: Path
) -> None:
    free = trained(tiny, rows, tmp_path / "free", epochs=2)
    bound = trained(tiny, rows, tmp_path / "bound", "--kl-rows", kl_rows, epochs=2, kl=KL)
    assert losses(free)[0] == losses(bound)[0]
    assert losses(free)[1:] != losses(bound)[1:]


def test_other_rows_or_another_weight_is_another_training(tiny: Path, rows: Path) -> None:
    base = BaseModel.read(tiny)
    spec = {"base": "tiny", "seed": 1}
    plain = train_job.TrainSpec.model_validate(spec | {"training": {}})
    bound = train_job.TrainSpec.model_validate(spec | {"training": {"kl": KL}})
    heavy = train_job.TrainSpec.model_validate(spec | {"training": {"kl": KL | {"weight": 4}}})
    assert "kl" not in plain.bare()["training"]
    names = [
        train_job.identity(plain, base, rows, None),
        train_job.identity(bound, base, rows, None, "a"),
        train_job.identity(bound, base, rows, None, "b"),
        train_job.identity(heavy, base, rows, None, "a"),
    ]
    assert len(set(names)) == 4


@given(st.lists(tokenized_rows(), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 20))
def test_every_step_has_rows_of_the_divergence(rows: Any, batch: int, steps: int) -> None:
    planned = plan_divergence(rows, batch, steps, 3)
    assert len(planned) == steps
    assert all(1 <= len(step) <= batch for step in planned)
    used = [row for step in planned for row in step]
    whole = len(used) // len(rows) * len(rows)
    assert sorted(used[:whole]) == sorted(list(range(len(rows))) * (whole // len(rows)))
