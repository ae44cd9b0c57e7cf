"""The state of a grid: what is done of what is planned, what is running, and how long the rest may
take."""

import re
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.grid.arms import Arm
from emgrid.grid.grid import Grid
from emgrid.grid.specs.judge import judge_spec
from emgrid.judge.judge import JudgeSpec
from emgrid.planning.estimates import Estimates
from emgrid.planning.inventory import NOTHING, Inventory, RowCount
from emgrid.planning.jobs import outputs
from emgrid.planning.measurements import join_sources
from emgrid.runtime import layout
from emgrid.runtime.locks import current_run, last_run

# Folder in which Snakemake notes the outputs of unfinished jobs.
BEGUN = ".snakemake/incomplete"
# `44%|████      | 65/144 [00:12<00:15,  5.1answer/s]`, as tqdm writes it.
BAR = re.compile(r"(\d+)/(\d+) \[([\d:]+)<[^\]]*(?:answer|judgement|step|text)[^\]]*\]")
TAIL = 4000  # bytes that are read from the end of a log
WITH_ADAPTER = ("train", "import_adapter")  # rules whose first output is an adapter's weights
ROWS = {"sample": "answers", "sample_served": "answers", "likelihood": "scores", "judge": "judged"}


@dataclass(frozen=True)
class Running:
    """A running job. line: its progress bar, else the last line of its log. seconds_each,
    seconds_left: from its progress bar, if it has one."""

    rule: str
    name: str
    line: str
    seconds_each: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class ArmProgress:
    arm: Arm
    trained: RowCount
    answers: RowCount
    scores: RowCount
    judged: RowCount


@dataclass(frozen=True)
class Status:
    """run: the current run; before: the last one. seconds_left: None if there is no measurement."""

    run: dict[str, Any] | None
    before: dict[str, Any] | None
    rules: dict[str, RowCount]
    arms: list[ArmProgress]
    running: list[Running]
    seconds_left: float | None
    source: str

    @property
    def begun(self) -> bool:
        return any(count.stored for count in self.rules.values()) or any(
            progress.answers.stored for progress in self.arms
        )


def look(grid: Grid, root: Path) -> Status:
    """The state of a grid's folder, which may be run meanwhile; nothing is written."""
    run = current_run(root)
    rules = {
        rule: RowCount(len(files), sum((root / file).is_file() for file in files))
        for rule, files in outputs(grid).items()
    }
    arms = list(arms_progress(grid, Inventory(grid, root)))
    running = list(running_jobs(grid, root)) if run is not None else []
    left, source = time_left(grid, root, rules, arms, running)
    return Status(run, last_run(root), rules, arms, running, left, source)


def arms_progress(grid: Grid, inventory: Inventory) -> Iterator[ArmProgress]:
    spec = JudgeSpec.model_validate_json(judge_spec(grid, grid.judged[0]))
    for arm in grid.arms:
        trained = sum(inventory.trained(stage) for stage in arm.stages)
        yield ArmProgress(
            arm=arm,
            trained=RowCount(len(arm.stages), trained),
            answers=NOTHING if arm.source else inventory.answers(arm),
            scores=inventory.scores(arm),
            judged=inventory.judged(arm, spec),
        )


def running_jobs(grid: Grid, root: Path) -> Iterator[Running]:
    """The jobs of this grid that have begun but not ended."""
    unfinished = {decoded(path.name) for path in (root / BEGUN).glob("*") if path.is_file()}
    for rule, files in outputs(grid).items():
        for file in files:
            outputs_of_job = {file, f"{Path(file).parent}/adapter/adapter_model.safetensors"}
            if unfinished & (outputs_of_job if rule in WITH_ADAPTER else {file}):
                name = name_of(rule, file)
                logs = [root / layout.log(rule, name), root / layout.log(rule)]
                line = next((last_line(log) for log in logs if log.is_file()), "")
                yield Running(rule, name, line, *pace(line))


def decoded(name: str) -> str:
    try:
        return urlsafe_b64decode(name.encode()).decode()
    except (Error, UnicodeDecodeError):
        return ""


def name_of(rule: str, file: str) -> str:
    """The name of a job's log: that of its stage, its record or its output."""
    path = Path(file)
    if rule in ("mix", "preflight", "train"):
        return path.parent.name.removeprefix("stage=")
    if rule in ("model", "import_adapter"):
        return path.parent.name
    return file.rsplit("/", 1)[-1].removesuffix(path.suffix)


def last_line(log: Path) -> str:
    """The last state of the log's progress bar, which overwrites its line; without a bar, the last
    non-empty line."""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - TAIL, 0))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]", text)]
    bars = [line[: match.end()] for line in lines if (match := BAR.search(line))]
    return next((line for line in reversed(bars or lines) if line), "")


def pace(line: str) -> tuple[float | None, float | None]:
    """Seconds per step and for all remaining steps, from the line of a progress bar."""
    match = BAR.search(line)
    if not match or int(match[1]) == 0:
        return None, None
    seconds_each = seconds_of(match[3]) / int(match[1])
    return seconds_each, seconds_each * (int(match[2]) - int(match[1]))


def seconds_of(clock: str) -> float:
    """Seconds of `1:02:03`."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)


def time_left(
    grid: Grid,
    root: Path,
    rules: dict[str, RowCount],
    arms: list[ArmProgress],
    running: list[Running],
) -> tuple[float | None, str]:
    """Seconds until the grid is done with the current number of parallel jobs, and their source:
    progress bars of running jobs, else measurements. None if a rule has no measurement."""
    estimates = Estimates(grid, root)
    bars = {job.rule: job for job in running if job.seconds_each is not None}
    total = 0.0
    sources = []
    for rule, count in rules.items():
        if not count.missing:
            continue
        if rule in bars and rule in ROWS:
            rows = sum(getattr(progress, ROWS[rule]).missing for progress in arms)
            total += rows * (bars[rule].seconds_each or 0.0)
            sources.append("progress of running jobs")
            continue
        seconds, source = left_of(rule, count, estimates, root, arms)
        if seconds is None:
            return None, f"unknown: no record of {rule} on {grid.config.device}"
        total += seconds
        sources.append(source)
    longest = max((job.seconds_left or 0.0 for job in running), default=0.0)
    return max(total / max(len(running), 1), longest), join_sources(sources)


def left_of(
    rule: str, count: RowCount, estimates: Estimates, root: Path, arms: list[ArmProgress]
) -> tuple[float | None, str]:
    """Seconds that the remaining jobs of a rule will take, from measurements."""
    rate = estimates.measurements.rate
    if rule == "train":
        due = [s for s in estimates.grid.stages.values() if not (root / s.adapter_record).is_file()]
        work = [(estimates.stage_tokens(run).value or 0, rate(rule, run.base)) for run in due]
    elif rule == "sample":
        work = [
            (arm.answers.missing * arm.arm.sampling.max_tokens, rate(rule, arm.arm.base))
            for arm in arms
            if arm.arm.runs_here
        ]
    elif rule == "likelihood":
        work = [(arm.scores.missing, rate(rule, arm.arm.base)) for arm in arms if arm.arm.runs_here]
    elif rule == "judge":
        work = [(arm.judged.missing, rate(rule)) for arm in arms]
    else:
        work = [(count.missing, rate(rule))]
    estimate = estimates.hours(
        [(amount, own_rate) for amount, own_rate in work if amount], count.missing
    )
    return (None if estimate.value is None else estimate.value * 3600), estimate.source
