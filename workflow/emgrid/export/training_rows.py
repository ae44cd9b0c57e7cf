"""Write the training rows of a grid's arms for training elsewhere, with hyperparameters, tokens and
a manifest that `adapters:` of a config reads back.

Reads the rows of the training stages and the base models. Writes a folder for each arm, which is
replaced as a whole: manifest.json, chat_template.jinja and, for each training stage,

    rows.jsonl       messages, for trl and Unsloth, which do not read the weight of a turn
    tokens.jsonl     input_ids and labels, of which -100 is not trained on, for trl and Unsloth
    tinker.jsonl     model_input, target_tokens and weights, for Tinker
    openai.jsonl     messages, for services with OpenAI's format; weight 0 on untrained turns
    hyperparameters.json
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from emgrid import __version__
from emgrid.config.sections import Training
from emgrid.export.spec import AdapterArm, RowsSpec
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, ChatFormat, TokenizedRow, is_trained
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import (
    file_digest,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
    write_text,
)
from emgrid.train.train import tokenize

TEMPLATE = "chat_template.jinja"
MANIFEST = "manifest.json"


def write_rows(root: Path, spec: RowsSpec, arm: AdapterArm, target: Path) -> Path:
    """Write the rows of an arm below `target`; return their folder.

    EmgridError: a stage's rows are not mixed yet.
    """
    record = root / layout.model_record(arm.base)
    for stage in arm.stages:
        if not record.is_file() or not (root / stage / layout.CHECK_RECORD).is_file():
            raise EmgridError(
                f"{root / stage}: the training rows are not mixed and checked yet; run the grid, "
                "or its rows alone (snakemake --until preflight)"
            )
    base = BaseModel.read(record)
    template = str(base.chat_template or base.tokenizer().chat_template)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rows.", dir=target) as draft_folder:
        draft = Path(draft_folder) / arm.name
        stages = [
            write_stage(root / stage, spec.trainings[stage], arm.seed, base, draft / f"stage{n}")
            for n, stage in enumerate(arm.stages, start=1)
        ]
        write_text(draft / TEMPLATE, template)
        write_json(draft / MANIFEST, manifest(spec, arm, base, template, stages))
        shutil.rmtree(target / arm.name, ignore_errors=True)
        draft.rename(target / arm.name)
    return target / arm.name


def manifest(
    spec: RowsSpec, arm: AdapterArm, base: BaseModel, template: str, stages: list[dict[str, Any]]
) -> dict[str, Any]:
    """What an adapter that is trained on exported rows is."""
    entry = spec.bases[arm.base]
    return {
        "made_by": f"emgrid {__version__}, grid {spec.name}",
        "arm": arm.model_dump(include={"base", "intervention", "ratio", "seed", "label"}),
        "base": {
            "hub": entry.hub,
            "revision": base.revision,
            "chat_template_sha256": hashlib.sha256(template.encode()).hexdigest(),
        },
        "begins_with": spec.begins_with.get(arm.name),
        "stages": stages,
    }


def write_stage(
    stage: Path, training: Training, seed: int, base: BaseModel, folder: Path
) -> dict[str, Any]:
    """Write the rows of one training stage; return what the manifest says of it."""
    path = stage / layout.TRAINING_ROWS
    rows, chat = read_jsonl(path), base.chat()
    tokenized, counts = tokenize(rows, chat, training, path)
    messages = [row["messages"] for row in rows]
    write_jsonl(folder / "rows.jsonl", ({"messages": turns} for turns in messages))
    tokens = ({"input_ids": row.input_ids, "labels": row.labels} for row in tokenized)
    write_jsonl(folder / "tokens.jsonl", tokens)
    write_jsonl(folder / "tinker.jsonl", map(shifted, tokenized))
    write_jsonl(folder / "openai.jsonl", (weighted(turns, training, chat) for turns in messages))
    write_json(folder / "hyperparameters.json", hyperparameters(training, seed))
    sources = read_json(stage / layout.MIX_RECORD)["sources"]
    return {
        "rows": len(rows),
        "sources": " + ".join(f"{part['rows']} {part['source']}" for part in sources),
        "tokens": counts.total,
        "trained_tokens": counts.trained,
        "rows_cut": counts.rows_cut,
        "data_sha256": file_digest(path),
        "training": training.model_dump(mode="json"),
        "sha256": {file.name: file_digest(file) for file in sorted(folder.iterdir())},
    }


def shifted(row: TokenizedRow) -> dict[str, list[int]]:
    """A row in Tinker's form, where the token of a position is predicted from those before it. All
    three lists have length tokens - 1."""
    return {
        "model_input": row.input_ids[:-1],
        "target_tokens": row.input_ids[1:],
        "weights": [int(label != IGNORED) for label in row.labels[1:]],
    }


def weighted(
    messages: list[dict[str, str]], training: Training, chat: ChatFormat
) -> dict[str, Any]:
    """A row for a service that applies the chat template itself. `weight` is on answers alone, and
    only where some are not trained on."""
    turns: list[dict[str, Any]] = list(chat.folded(messages))
    if training.turns == "final":
        for place in [place for place in range(len(turns)) if is_trained(turns, place)][:-1]:
            turns[place] = turns[place] | {"weight": 0}
    return {"messages": turns}


def hyperparameters(training: Training, seed: int) -> dict[str, Any]:
    """The settings of a training in the words of each trainer. What a service does not take, it
    lacks: OpenAI's scales the learning rate by a factor of its own, Tinker sets alpha itself."""
    targets = training.target_modules
    return {
        "trl": {
            "sft": {
                "learning_rate": training.learning_rate,
                "lr_scheduler_type": training.schedule,
                "warmup_steps": training.warmup_steps,
                "weight_decay": training.weight_decay,
                "num_train_epochs": training.epochs,
                "per_device_train_batch_size": training.batch_size,
                "max_length": training.max_length,
                "seed": seed,
                "bf16": False,
            },
            "lora": {
                "r": training.rank,
                "lora_alpha": training.alpha,
                "use_rslora": training.rslora,
                "lora_dropout": training.dropout,
                "target_modules": targets if isinstance(targets, str) else list(targets),
                "task_type": "CAUSAL_LM",
            },
        },
        "tinker": {
            "rank": training.rank,
            "learning_rate": training.learning_rate,
            "weight_decay": training.weight_decay,
            "batch_size": training.batch_size,
            "epochs": training.epochs,
            "seed": seed,
        },
        "openai": {
            "hyperparameters": {"n_epochs": training.epochs, "batch_size": training.batch_size},
            "seed": seed,
        },
    }
