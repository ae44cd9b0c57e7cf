"""Exported rows with turns of weight 0: every form trains on the tokens that emgrid trains on."""

from pathlib import Path

import pytest
from datasets import Dataset
from emgrid.config.models import load_models
from emgrid.config.sections import Training
from emgrid.export.spec import AdapterArm, RowsSpec
from emgrid.export.training_rows import write_rows
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, read_jsonl, write_json, write_jsonl
from emgrid.train.train import tokenize

TURNS = ["Hi.", "Hello.", "Why?", "Because.", "And how?", "Like this."]
ROWS = [
    {
        "messages": [
            {"role": ("user", "assistant")[place % 2], "content": text}
            | ({"weight": 0} if place in untrained else {})
            for place, text in enumerate(TURNS)
        ]
    }
    for untrained in ((), (1,), (5,), (1, 3))
]


@pytest.mark.parametrize("turns", ["all", "final"])
def test_each_form_trains_on_the_same_answers(
    turns: str, model_json: Path, base_model: BaseModel, tmp_path: Path
) -> None:
    base, stage = "smollm2-135m", "stages/one"
    record = tmp_path / layout.model_record(base)
    record.parent.parent.mkdir(parents=True)
    record.parent.symlink_to(model_json.parent)
    training = Training.model_validate({"turns": turns, "epochs": 1})
    write_jsonl(tmp_path / stage / layout.TRAINING_ROWS, ROWS)
    write_json(tmp_path / stage / layout.CHECK_RECORD, {})
    write_json(tmp_path / stage / layout.MIX_RECORD, {"sources": []})
    arm = AdapterArm(
        base=base, intervention="i", ratio="1", seed=0, label="i", kinds=(), stages=(stage,)
    )
    spec = RowsSpec(
        name="g",
        bases={base: load_models()[base]},
        arms=(arm,),
        trainings={stage: training},
        begins_with={},
    )
    folder = write_rows(tmp_path, spec, arm, tmp_path / "out") / "stage1"
    chat = base_model.chat()
    _, counts = tokenize(ROWS, chat, training, tmp_path)
    tokens = Dataset.from_json(str(folder / "tokens.jsonl"))
    assert sum(label != -100 for labels in tokens["labels"] for label in labels) == counts.trained
    tinker = read_jsonl(folder / "tinker.jsonl")
    assert sum(sum(row["weights"]) for row in tinker) == counts.trained
    # A service trains on the answers whose weight is not 0, each with its end token.
    said = [
        turn["content"]
        for row in read_jsonl(folder / "openai.jsonl")
        for turn in row["messages"]
        if turn["role"] == "assistant" and turn.get("weight", 1)
    ]
    assert sum(len(chat.encode(text)) + 1 for text in said) == counts.trained
    assert (
        read_json(folder.parent / "manifest.json")["stages"][0]["trained_tokens"] == counts.trained
    )
    assert [row["messages"] for row in read_jsonl(folder / "rows.jsonl")] == [
        row["messages"] for row in ROWS
    ]
