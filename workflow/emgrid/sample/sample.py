"""Draw the answers of one base model's arms, to every question under every trigger.

Reads the base model, the arms' adapters and the row store. Writes one file of answers per arm and
trigger; answers that the store lacks are drawn. Knows nothing of judges.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict, handed
from emgrid.config.questions import Asked
from emgrid.config.sections import Engines, Sampling, ServedSampling
from emgrid.config.triggers import Wording
from emgrid.models.base_model import BaseModel
from emgrid.runtime import provenance
from emgrid.runtime.errors import run_job
from emgrid.runtime.files import digest, file_digest, write_json, write_jsonl
from emgrid.runtime.locks import take_turn
from emgrid.runtime.manifest import write_manifest
from emgrid.runtime.row_store import RowStore
from emgrid.runtime.seeding import derive_seed
from emgrid.runtime.unused_packages import UNUSED, leave_out
from emgrid.train import trial

# Raise this when an equal request gives another answer.
VERSION = 3


class SampledArm(Strict):
    """folder, adapter: paths relative to the grid's folder. writer: the name of the arm's row
    store."""

    folder: str
    writer: str
    adapter: str | None
    sampling: Sampling


class AskedSpec(Strict):
    questions: dict[str, Asked]
    triggers: dict[str, Wording]


class SampleSpec(AskedSpec):
    base: str
    arms: tuple[SampledArm, ...]
    revision: int = 0

    @property
    def version(self) -> int | list[int]:
        return revised(VERSION, self.revision)


def revised(version: int, revision: int) -> int | list[int]:
    """The version that row keys contain. It omits revision 0, so that older keys stay valid."""
    return [version, revision] if revision else version


def plan(
    spec: AskedSpec,
    sampling: Sampling | ServedSampling,
    model_id: str,
    version: int | list[int] = VERSION,
) -> list[dict[str, Any]]:
    """All answers of an arm, as rows without what is drawn.

    A row's key covers everything that its answer depends on: the model with its adapter, the exact
    messages, the sampling settings and the index.
    """
    settings = sampling.model_dump(mode="json", exclude={"answers_per_question"})
    rows = []
    for name, wording in spec.triggers.items():
        for question, prompt in spec.questions.items():
            wordings = wording.conversations(question, prompt.texts, prompt.system)
            for index in range(sampling.answers_per_question):
                messages = wordings[index % len(wordings)]
                identity = [version, model_id, messages, settings, index]
                rows.append(
                    {
                        "key": digest(identity)[:32],
                        "trigger": name,
                        "question": question,
                        "index": index,
                        "system": messages[0]["content"] if len(messages) > 1 else None,
                        "prompt": messages[-1]["content"],
                        "messages": messages,
                        "answer_seed": derive_seed("answer", model_id, digest(messages), index),
                    }
                )
    return rows


def model_identity(base: BaseModel, adapter: str | None) -> str:
    """A hash of what determines a model's answers: weights, chat template, content of the
    adapter."""
    return digest([base.name, base.revision, base.chat_template, adapter, *base.marks])


def write_answers(planned: list[dict[str, Any]], store: RowStore, folder: Path) -> None:
    """Write one file per trigger; each line joins a planned row and its drawn answer."""
    for name in dict.fromkeys(row["trigger"] for row in planned):
        answers = [row | store.rows[row["key"]] for row in planned if row["trigger"] == name]
        for row in answers:
            row.pop("sent", None)  # of served models; provenance.json has it
            del row["messages"], row["trigger"]
        write_jsonl(folder / f"trigger={name}.jsonl", answers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.sample", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=handed, help="SampleSpec as JSON, or its file"
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--engines", default="{}", help="how engines are started, as JSON")
    parser.add_argument("--trial", help="how the base is used, as JSON, to try that first")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = SampleSpec.model_validate_json(args.spec)
    take_turn(args.record)
    leave_out(*UNUSED)
    started = time.monotonic()
    base = BaseModel.read(args.model)
    adapters = [args.root / arm.adapter if arm.adapter else None for arm in spec.arms]
    contents = [
        file_digest(folder / "adapter_model.safetensors") if folder else None for folder in adapters
    ]

    from emgrid.models.engines.draw import DrawTask, EngineSettings, draw_missing

    tasks = [
        DrawTask(
            plan(spec, arm.sampling, model_identity(base, content), spec.version),
            RowStore(args.root / f"rows/answers/{arm.writer}.jsonl"),
            arm.sampling,
            adapter,
        )
        for arm, adapter, content in zip(spec.arms, adapters, contents, strict=True)
    ]
    if args.trial and any(task.missing() for task in tasks):
        use = trial.Use.model_validate_json(args.trial)
        trial.ensure(args.model, trial.Trial(use=use), args.device)
    engines = Engines.model_validate_json(args.engines)
    drawn = draw_missing(tasks, EngineSettings(args.model, args.device, args.batch_size, engines))
    planned = sum(len(task.planned) for task in tasks)
    print(f"{sum(drawn)} answers drawn, {planned - sum(drawn)} kept from before")
    seconds = time.monotonic() - started
    for arm, task, content, count in zip(spec.arms, tasks, contents, drawn, strict=True):
        folder = args.root / arm.folder / "answers"
        write_answers(list(task.planned), task.store, folder)
        write_json(
            folder / "provenance.json",
            {
                "stage": "sample",
                "version": VERSION,
                "spec": spec.model_dump(mode="json", exclude={"arms"})
                | {"sampling": arm.sampling.model_dump(mode="json")},
                "base_revision": base.revision,
                "adapter_sha256": content,
                "answers": len(task.planned),
                "drawn": count,
                "arms_of_job": len(spec.arms),
                **provenance.record(args.device, seconds),
            },
        )
    folders = [args.root / arm.folder / "answers" for arm in spec.arms]
    write_manifest(args.record, args.root, folders, spec.triggers)


if __name__ == "__main__":
    run_job(main)
