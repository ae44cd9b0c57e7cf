"""How a Snakefile begins: Snakemake's config becomes a grid. How a run begins: lock and checks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.config.places import Origin
from emgrid.config.yaml_files import read_yaml
from emgrid.grid.controls import without_control
from emgrid.grid.endings import notices, old_prices
from emgrid.grid.engine_choice import Machine, keep_choice
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.models import asked_models, model_spec
from emgrid.models.model_files import record_location
from emgrid.models.prompts import prompts_digest
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import STARTED_IN, digest, read_json, users_path, write_text
from emgrid.runtime.locks import enter, hold, passing_folder
from emgrid.runtime.slurm import refuse_queued
from emgrid.runtime.watchdog import announce

DEFAULT = "config.yaml"
# Set by the main process and inherited by its jobs, which parse the Snakefile again.
GUARD = "EMGRID_CONFIG_DIGEST"
# Where envs/emgrid.post-deploy.sh finds what it installs.
CHECKOUT = "EMGRID_ROOT"


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`: sections merge key by key; interventions and lists are replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = below[key] | value if both and key != "interventions" else value
    return merged


def complete(settings: dict[str, Any], files: Sequence[str]) -> tuple[dict[str, Any], Origin]:
    """Return the whole config, and the files that it was written in.

    Without --configfile, what --config gives is laid over the default config.yaml. A config file
    is laid over another one only if it says `extends: FILE`.
    """
    # Snakemake lays each of several config files over those before it.
    written = tuple((str(file), Path(file).absolute()) for file in reversed(files))
    origin = Origin(str(files[-1]) if files else DEFAULT, written)
    whole = settings if files or "extends" in settings else {"extends": DEFAULT} | settings
    seen: list[str] = []
    while base := whole.get("extends"):
        if base in seen:
            raise origin.error("extends", f"{base} extends itself")
        seen.append(base)
        path = base_path(base, origin)
        origin = Origin(origin.name, (*origin.files, (str(base), path.absolute())))
        own = {key: value for key, value in whole.items() if key != "extends"}
        whole = overlay(without_replaced(read_config(path), own), own)
    return whole, origin


def without_replaced(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A config that is extended, without what a `trait` of the extending one takes the place of."""
    ours, theirs = own.get("metrics"), base.get("metrics")
    if not (isinstance(ours, dict) and ours.get("trait") and isinstance(theirs, dict)):
        return base
    gone = ("alignment", "alignment_below")
    return base | {"metrics": {name: theirs[name] for name in theirs if name not in gone}}


def base_path(name: Any, origin: Origin) -> Path:
    """The path of a config that another one extends: relative to where Snakemake starts, or to the
    repository."""
    path = users_path(str(name)) if users_path(str(name)).exists() else ROOT / str(name)
    if not path.is_file():
        raise origin.error("extends", f"no file {name!r}; looked for {users_path(str(name))}")
    return path


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings of a config file as they are written."""
    value = read_yaml(path)
    if isinstance(value, dict):
        return value
    found = {type(None): "is empty", list: "is a list"}.get(type(value), f"is only {value!r:.40}")
    raise EmgridError(
        f"{path}: {found}; a config must be a mapping of settings, such as "
        "`extends: config.yaml` and, in the next line, `name: mine`"
    )


def read_grid(path: Path, machine: Machine | None = None) -> Grid:
    """Return the grid of a config file. machine: see load_experiment."""
    value, origin = complete(read_config(path), [str(path)])
    return Grid(load_experiment(value, origin, machine=machine))


def start(settings: dict[str, Any], files: Sequence[str], writes: bool) -> Grid:
    """Return the grid of Snakemake's `config`, or end the process with a message of one line.

    A job stops if its config is not the main process's: it would record settings that are not those
    of its result. The grid's folder becomes the working directory; if nothing is to be written and
    there is no such folder, an empty one that is removed when the process ends.

    writes: whether jobs run; otherwise the grid is only looked at.
    """
    guard = os.environ.get(GUARD)
    if guard is None:
        os.environ[STARTED_IN] = str(Path.cwd())
    try:
        for file in files if guard is None else ():
            read_config(Path(file))  # Snakemake's own reader lets the last of equal keys win
        config, origin = complete(settings, files)
        if guard is not None and guard != digest(config):
            raise EmgridError(f"{origin} was edited while the grid runs; stop it and start again")
        grid = Grid(load_experiment(config, origin, check_data=guard is None))
        _ = grid.rounds  # reads a file that may be broken
        folder = users_path(grid.root)
        enter(folder if writes or folder.is_dir() else passing_folder(), guard is None, writes)
    except EmgridError as problem:
        sys.exit(f"emgrid: {problem}")
    os.environ[GUARD] = digest(config)
    os.environ[CHECKOUT] = str(ROOT)
    announce()
    # `python` in a rule must be the one that runs Snakemake, activated or not.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return grid


class SpecFiles:
    """Specs that jobs read from files: the spec of a large grid is longer than a command may be."""

    def __init__(self) -> None:
        self.makers: dict[str, Callable[[], str]] = {}

    def add(self, name: str, make: Callable[[], str]) -> str:
        """Return the file of a spec. make: makes the spec when a run begins."""
        file = layout.spec_file(name)
        self.makers[file] = make
        return file

    def texts(self) -> dict[str, str]:
        """The specs by their files."""
        return {file: make() for file, make in self.makers.items()}


def begin(grid: Grid, specs: dict[str, str]) -> None:
    """Begin a run: hold the grid's lock, write the specs that jobs read from files, keep what
    `auto` stands for, note where users' models are now, name the models that stop answering, check
    the prompts of the base models that are ready, and say which verdicts the design can reach."""
    try:
        hold(grid.root)
        refuse_queued(grid.root)
        for record in Path().glob(layout.model_record("*")):
            name = record.parent.name
            if name in grid.config.models and (folder := grid.own_model(name)):
                record_location(record.parent, folder)
        for file, spec in specs.items():
            write_text(Path(file), spec)
        if text := keep_choice(grid.experiment.chosen, Path()):
            print(f"emgrid: {text}", file=sys.stderr)
        tell_endings(grid)
        if text := without_control(grid):
            print(f"emgrid: {text}", file=sys.stderr)
        check_prompts(grid, specs)
        tell_reach(grid)
    except EmgridError as problem:
        sys.exit(f"emgrid: {problem}")


def tell_endings(grid: Grid) -> None:
    """Print which models that the grid calls will stop answering, and whose prices are old.
    EmgridError if one has stopped before it said anything in this grid."""
    for notice in notices(grid, Path()):
        if notice.lost:
            raise EmgridError(notice.text)
        print(f"emgrid: {notice.text}", file=sys.stderr)
    for line in old_prices(grid):
        print(f"emgrid: {line}", file=sys.stderr)


def tell_reach(grid: Grid) -> None:
    """Print which verdicts the design of the grid can reach."""
    # Statistics take two seconds to import, which jobs and commands would wait for, too.
    from emgrid.grid.design import reach_of

    if text := reach_of(grid):
        print(f"emgrid: {text}", file=sys.stderr)


def check_prompts(grid: Grid, specs: dict[str, str]) -> None:
    """Check the prompts of the base models that are ready, unless the same prompts passed before.

    A model that is not ready, or will be made again, is checked by its own job.
    """
    for base in asked_models(grid):
        file = layout.spec_file(f"prompts.{base}")
        model = Path(layout.model_record(base))
        output = Path(layout.prompts_record(base))
        if not model.is_file() or not is_current(read_json(model), grid, base):
            continue
        passed = read_json(output)["digest"] if output.is_file() else None
        if passed == prompts_digest(specs[file], model):
            continue
        command = [sys.executable, "-m", "emgrid.models.prompts", "--spec", file]
        command += ["--model", str(model), "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout, end="", file=sys.stderr)
        if done.returncode != 0:
            last = (done.stderr.splitlines() or ["it ended without a word"])[-1]
            raise EmgridError(last.removeprefix("emgrid: "))


def is_current(record: dict[str, Any], grid: Grid, base: str) -> bool:
    """Whether a base model's record is what the config asks for, so that no job makes it again."""
    spec = json.loads(model_spec(grid, base))
    expected = {key: spec.get(key) for key in ("chat_template", "content", "system_prompt")}
    if "model" in spec:
        expected["revision"] = spec["model"]["revision"]
    if "tokenizer" in spec:
        expected["tokenizer"] = spec["tokenizer"]
    return all(record.get(key) == value for key, value in expected.items())
