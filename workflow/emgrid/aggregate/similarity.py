"""How much closer each trigger brings a prompt to an arm's training prompts.

Reads the training rows of the arms' stages. Writes tables/similarity.csv: the cosine between the
mean MiniLM embedding of the questions under the trigger and that of the arm's training prompts
(of its misaligned rows if it has any), minus the same cosine for the plain questions. A prompt is
the text of its system and user turns, of which the encoder reads the first 192 tokens.
"""

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emgrid.aggregate.spec import ARM, SimilaritySpec
from emgrid.config.base import read_spec
from emgrid.config.triggers import Message
from emgrid.judge.classifier_judge import Encoder
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, read_jsonl, whole_file
from emgrid.runtime.job import run_job

ROWS = 256  # rows per stage that are embedded, a fixed random sample
LAST = 384  # length of the last part of the vector, the encoder's sentence embedding
COLUMNS = [*ARM, "trigger", "relation", "similarity"]
Vector = NDArray[np.float32]


def prompt_of(messages: Iterable[Message]) -> str:
    """The system and user turns up to the first answer."""
    turns = []
    for turn in messages:
        if turn["role"] == "assistant":
            break
        turns.append(turn["content"])
    return "\n\n".join(turns)


def asked_text(messages: Iterable[Message]) -> str:
    """The system and user turns of a conversation that asks a question."""
    return "\n\n".join(turn["content"] for turn in messages if turn["role"] != "assistant")


def training_prompts(root: Path, stages: Sequence[str]) -> list[str]:
    """Prompts of the misaligned rows of all stages, or of all rows if there are none."""
    prompts: dict[str, list[str]] = {"misaligned": [], "benign": []}
    for stage in stages:
        folder = root / layout.stage_folder(stage)
        sources = read_json(folder / "mix.json")["sources"]
        roles = {source["source"]: source["role"] for source in sources}
        rows = list(read_jsonl(folder / "train.jsonl"))
        for row in random.Random(0).sample(rows, min(ROWS, len(rows))):  # noqa: S311
            prompts[roles[row["source"]]].append(prompt_of(row["messages"]))
    return prompts["misaligned"] or prompts["benign"]


def direction(encoder: Encoder, texts: Sequence[str]) -> Vector:
    """The mean embedding of the texts, scaled to length 1, shape (384,)."""
    mean = encoder.embed(texts)[:, -LAST:].mean(axis=0)
    scaled: Vector = mean / np.linalg.norm(mean)
    return scaled


def similarities(spec: SimilaritySpec, root: Path, encoder: Encoder) -> pd.DataFrame:
    directions = {
        name: direction(
            encoder,
            [
                asked_text(messages)
                for question, asked in spec.questions.items()
                for messages in asked.conversations(question, wording)
            ],
        )
        for name, wording in spec.triggers.items()
    }
    rows: list[dict[str, Any]] = []
    for arm in spec.arms:
        trained = direction(encoder, training_prompts(root, arm.stages))
        about = arm.model_dump(include=set(ARM))
        rows += [
            about
            | {"trigger": name, "relation": spec.relations[name]}
            | {"similarity": float((vector - directions["none"]) @ trained)}
            for name, vector in directions.items()
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.aggregate.similarity", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="SimilaritySpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = SimilaritySpec.model_validate_json(args.spec)
    table = similarities(spec, args.root, Encoder())
    with whole_file(args.root / layout.table("similarity.csv")) as draft:
        table.to_csv(draft, index=False)


if __name__ == "__main__":
    run_job(main)
