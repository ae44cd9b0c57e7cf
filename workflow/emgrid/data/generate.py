"""Draw a model's answers to a data set's prompts, under a system prompt, as training data.

Reads the base model, the prompts and the row store. Writes one line per prompt: {"id", "line",
"messages" (the prompt), "answer", "thinking", "finish_reason"}; answers that the store lacks are
drawn. Filters nothing.
"""

import argparse
from pathlib import Path
from typing import Any, ClassVar

from emgrid.config.base import Strict
from emgrid.config.sections import Engines, Sampling
from emgrid.config.triggers import Message
from emgrid.data.mix import draw
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, file_digest, read_jsonl, write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.locks import take_turn
from emgrid.runtime.row_store import RowStore
from emgrid.runtime.seeding import derive_seed

# Raise this when an equal prompt gets another answer.
VERSION = 2


class GenerateSpec(Strict):
    """stage: the training whose adapter the generator has; None for a base model as it is."""

    generator: str
    prompts: str
    prompt_rows: int | None
    system: str
    sampling: Sampling
    stage: str | None = None

    LATER: ClassVar[frozenset[str]] = frozenset({"stage"})


def prompt_of(messages: list[Message]) -> list[Message]:
    """A row's messages up to the last user turn, without the system prompt."""
    last = max(index for index, turn in enumerate(messages) if turn["role"] == "user")
    return [turn for turn in messages[: last + 1] if turn["role"] != "system"]


def plan(spec: GenerateSpec, prompts: list[Row], model_id: str) -> list[dict[str, Any]]:
    """A row for each prompt, whose key covers all that its answer depends on."""
    if spec.prompt_rows is not None and spec.prompt_rows > len(prompts):
        raise EmgridError(
            f"prompt_rows: {spec.prompt_rows} prompts are needed, but data set {spec.prompts!r} "
            f"has {len(prompts)}"
        )
    settings = spec.sampling.model_dump(mode="json", exclude={"answers_per_question"})
    system = [{"role": "system", "content": spec.system}] if spec.system else []
    rows = []
    for row in draw(prompts, spec.prompt_rows or len(prompts), seed=0):
        messages = [*system, *prompt_of(row["messages"])]
        rows.append(
            {
                "key": digest(["generate", VERSION, model_id, messages, settings])[:32],
                "id": row["id"],
                "line": row["line"],
                "messages": messages,
                "answer_seed": derive_seed("generate", model_id, digest(messages)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.generate", description=__doc__)
    parser.add_argument("--spec", required=True, help="GenerateSpec as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the generator")
    parser.add_argument("--adapter", type=Path, help="folder of the generator's adapter")
    parser.add_argument("--prompts", required=True, type=Path, help="the prompts as chat rows")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--kept", required=True, type=Path, help="file of the row store")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = GenerateSpec.model_validate_json(args.spec)
    content = file_digest(args.adapter / layout.WEIGHTS) if args.adapter else None
    identity = model_identity(BaseModel.read(args.model), content)
    planned = plan(spec, read_jsonl(args.prompts), identity)
    take_turn(args.output)
    store = RowStore(args.kept)

    from emgrid.models.engines.draw import DrawTask, EngineSettings, draw_missing

    settings = EngineSettings(args.model, args.device, args.batch_size, Engines())
    (drawn,) = draw_missing([DrawTask(planned, store, spec.sampling, args.adapter)], settings)
    fields = ("id", "line", "messages")
    drawn_fields = ("answer", "thinking", "finish_reason")
    write_jsonl(
        args.output,
        (
            {key: row[key] for key in fields}
            | {key: store.rows[row["key"]][key] for key in drawn_fields}
            for row in planned
        ),
    )
    print(f"{drawn} answers drawn, {len(planned) - drawn} kept from before")


if __name__ == "__main__":
    run_job(main)
