"""Draw the answers of one base model's arms, to every question under every trigger.

Reads the base model, the arms' adapters and the row store. Writes one file of answers per arm and
trigger; answers that the store lacks are drawn. Knows nothing of judges.
"""

import argparse
import time
from pathlib import Path

from emgrid.config.base import Strict, read_spec
from emgrid.config.sections import Engines, Sampling
from emgrid.config.triggers import read_wordings
from emgrid.models import adapter_files
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.runtime import layout, provenance
from emgrid.runtime.files import write_json
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.runtime.locks import take_turn
from emgrid.runtime.manifest import write_manifest
from emgrid.runtime.row_store import RowStore
from emgrid.sample.allocate import read_limits
from emgrid.sample.answers import (
    VERSION,
    AskedSpec,
    Version,
    plan,
    plan_replies,
    revised,
    write_answers,
)
from emgrid.train import trial, trial_spec


class SampledArm(Strict):
    """folder, adapter: paths relative to the grid's folder. writer: the name of the arm's row
    store."""

    folder: str
    writer: str
    adapter: str | None
    sampling: Sampling


class SampleSpec(AskedSpec):
    """confirms: whether the answers confirm found cues. They are stored apart from others, and no
    answer seed is theirs, too."""

    base: str
    arms: tuple[SampledArm, ...]
    revision: int = 0
    confirms: bool = False

    def stored(self, arm: SampledArm) -> str:
        """The file of an arm's stored rows."""
        return (layout.stored_found if self.confirms else layout.stored_answers)(arm.writer)

    @property
    def version(self) -> Version:
        return revised(VERSION, self.revision)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.sample", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="SampleSpec as JSON, or its file"
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--engines", default="{}", help="how engines are started, as JSON")
    parser.add_argument("--trial", help="how the base is used, as JSON, to try that first")
    parser.add_argument("--allocation", type=Path, help="which questions are asked, if not all")
    parser.add_argument("--wordings", type=Path, help="file with the wordings of more triggers")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = SampleSpec.model_validate_json(args.spec)
    more = read_wordings(args.wordings)
    spec = spec.model_copy(update={"triggers": spec.triggers | more}) if more else spec
    take_turn(args.record)
    leave_out(*UNUSED)
    started = time.monotonic()
    base = BaseModel.read(args.model)
    limits = read_limits(args.allocation)
    adapters = [args.root / arm.adapter if arm.adapter else None for arm in spec.arms]
    contents = [adapter_files.identity(folder) for folder in adapters]
    weights = [adapter_files.weights_digest(folder) if folder else None for folder in adapters]

    from emgrid.models.engines.draw import DrawTask, EngineSettings, draw_missing

    purpose = "confirm" if spec.confirms else "answer"
    tasks = []
    for arm, adapter, content, weight in zip(spec.arms, adapters, contents, weights, strict=True):
        of = (arm.sampling, model_identity(base, content), spec.version)
        seeded_by = model_identity(base, weight)
        rows = plan(spec, *of, limits.get(arm.folder), purpose, seeded_by)
        store = RowStore(args.root / spec.stored(arm))
        replies = plan_replies(rows, *of, purpose, seeded_by)
        tasks.append(DrawTask(rows, store, arm.sampling, adapter, replies))
    if args.trial and any(task.missing() for task in tasks):
        use = trial_spec.Use.model_validate_json(args.trial)
        trial.ensure(args.model, trial_spec.Trial(use=use), args.device)
    engines = Engines.model_validate_json(args.engines)
    drawn = draw_missing(tasks, EngineSettings(args.model, args.device, args.batch_size, engines))
    planned = sum(len(task.rows) for task in tasks)
    print(f"{sum(drawn)} answers drawn, {planned - sum(drawn)} kept from before")
    seconds = time.monotonic() - started
    for arm, task, weight, count in zip(spec.arms, tasks, weights, drawn, strict=True):
        folder = args.root / arm.folder / "answers"
        write_answers(list(task.planned), task.store, folder)
        write_json(
            folder / layout.PROVENANCE,
            {
                "stage": "sample",
                "version": VERSION,
                "spec": spec.model_dump(mode="json", exclude={"arms"})
                | {"sampling": arm.sampling.model_dump(mode="json")},
                "base_revision": base.revision,
                "adapter_sha256": weight,
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
