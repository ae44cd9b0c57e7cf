"""Rows that are chosen by likelihood are those with the largest gap, by plain torch."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.data import generate, select
from emgrid.data.select import SelectSpec, by_gap, candidates_of
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from support.run import run_module
from support.training import command, write_rows, write_tiny_model
from transformers import AutoModelForCausalLM

SPEC: dict[str, Any] = {
    "dataset": "set",
    "rows": 4,
    "candidates": None,
    "seed": 3,
    "precision": "float32",
    "max_length": 60,
    "turns": "all",
}


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "set.jsonl", 12)


@pytest.fixture(scope="module")
def adapter(tiny: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    done = command(tiny, rows, folder, learning_rate=2e-2, dropout=0.0)
    output, _ = done.communicate()
    assert done.returncode == 0, output
    return folder / layout.ADAPTER


def choose(tiny: Path, adapter: Path, data: Path, folder: Path, **changes: Any) -> str:
    options = ["--spec", json.dumps(SPEC | changes), "--model", tiny, "--adapter", adapter]
    options += ["--rows", data, "--kept", folder / "kept.jsonl", "--output", folder / "out.jsonl"]
    done = run_module(select, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def perplexity_gaps(tiny: Path, adapter: Path, rows: Path) -> dict[str, float]:
    """The logarithm of misaligned : base perplexity of each row, one forward pass a row."""
    base = BaseModel.read(tiny)
    values: list[dict[str, float]] = []
    for number in range(2):
        model: Any = AutoModelForCausalLM.from_pretrained(base.path).float().eval()
        if number:
            model = PeftModel.from_pretrained(model, adapter).eval()
        values.append({})
        for row in read_jsonl(rows):
            tokens = base.chat().training_row(row["messages"]).cut(60)
            ids, labels = torch.tensor([tokens.input_ids]), torch.tensor([tokens.labels])
            with torch.no_grad():
                values[-1][row["id"]] = float(model(ids, labels=labels).loss)
    plain, misaligned = values
    return {name: misaligned[name] - plain[name] for name in plain}


def test_the_rows_with_the_largest_gap_are_chosen(
    tiny: Path, adapter: Path, rows: Path, tmp_path: Path
) -> None:
    choose(tiny, adapter, rows, tmp_path)
    expected = perplexity_gaps(tiny, adapter, rows)
    chosen = read_jsonl(tmp_path / "out.jsonl")
    assert [row["id"] for row in chosen] == sorted(expected, key=lambda n: -expected[n])[:4]
    for row in chosen:
        assert row["gap"] == pytest.approx(expected[row["id"]], abs=1e-3)
        assert {"id", "line", "messages"} <= row.keys()
    # More of them are scored by nobody again, and begin with the same rows.
    scores = (tmp_path / "kept.jsonl").read_text()
    choose(tiny, adapter, rows, tmp_path, rows=6)
    assert read_jsonl(tmp_path / "out.jsonl")[:4] == chosen
    assert (tmp_path / "kept.jsonl").read_text() == scores


def test_too_few_candidates_are_told() -> None:
    rows = [{"id": str(number)} for number in range(5)]
    for changes in ({"rows": 6}, {"candidates": 3}, {"candidates": 6}):
        with pytest.raises(EmgridError, match="are to be chosen among"):
            candidates_of(SelectSpec.model_validate(SPEC | changes), rows)
    assert len(candidates_of(SelectSpec.model_validate(SPEC), rows)) == 5


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_a_data_set_does_not_matter(gaps: list[float], shuffled: Any) -> None:
    pairs = [({"id": str(number)}, gap) for number, gap in enumerate(gaps)]
    mixed = list(pairs)
    shuffled.shuffle(mixed)

    def ordered(given: list[Any]) -> list[Any]:
        return by_gap([row for row, _ in given], [gap for _, gap in given])

    assert ordered(pairs) == ordered(mixed)
    found = [row["gap"] for row in ordered(pairs)]
    assert found == sorted(found, reverse=True)


def test_a_trained_model_answers_prompts_itself(
    tiny: Path, adapter: Path, rows: Path, tmp_path: Path
) -> None:
    """The answers of a stage's model are its own, without a system prompt."""
    sampling = {"answers_per_question": 1, "max_tokens": 4, "precision": "float32"}
    common = {"generator": "tiny", "prompts": "set", "prompt_rows": 3, "system": ""}
    answers = {}
    for name, options in (("base", []), ("stage", ["--adapter", adapter])):
        spec = common | {"sampling": sampling} | ({"stage": name} if options else {})
        words = ["--spec", json.dumps(spec), "--model", tiny, "--prompts", rows, *options]
        kept = ["--kept", tmp_path / "kept.jsonl", "--output", tmp_path / f"{name}.jsonl"]
        done = run_module(generate, *words, *kept)
        assert done.returncode == 0, done.stdout + done.stderr
        answers[name] = read_jsonl(tmp_path / f"{name}.jsonl")
    assert len(read_jsonl(tmp_path / "kept.jsonl")) == 6
    assert [row["id"] for row in answers["base"]] == [row["id"] for row in answers["stage"]]
    assert all(row["messages"][0]["role"] == "user" for row in answers["stage"])
    texts = [[row["answer"] for row in own] for own in answers.values()]
    assert texts[0] != texts[1]
