"""How far a grid is: what is done of what is planned, what runs right now, and how long it may take
yet."""

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
from emgrid.planning.estimates import Outlay
from emgrid.planning.inventory import NOTHING, Count, Holdings
from emgrid.planning.jobs import outputs
from emgrid.planning.measurements import sources_told
from emgrid.runtime import layout
from emgrid.runtime.locks import current, last

# Where Snakemake notes the outputs of jobs that have begun and not ended.
BEGUN = ".snakemake/incomplete"
# `44%|████      | 65/144 [00:12<00:15,  5.1answer/s]`, as tqdm writes it.
BAR = re.compile(r"(\d+)/(\d+) \[([\d:]+)<[^\]]*(?:answer|judgement|step|text)[^\]]*\]")
TAIL = 4000  # bytes of a log that are read from its end
ROWS = {"sample": "answers", "sample_served": "answers", "likelihood": "scores", "judge": "judged"}


@dataclass(frozen=True)
class Running:
    """A job that runs now. line: its progress bar, else the last that its log says. seconds_each,
    seconds_left: as its progress bar tells, where it has one."""

    rule: str
    name: str
    line: str
    seconds_each: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class ArmProgress:
    arm: Arm
    trained: Count
    answers: Count
    scores: Count
    judged: Count


@dataclass(frozen=True)
class Status:
    """run: who runs it now; before: who did last. seconds_left: None where no record tells."""

    run: dict[str, Any] | None
    before: dict[str, Any] | None
    rules: dict[str, Count]
    arms: list[ArmProgress]
    running: list[Running]
    seconds_left: float | None
    source: str

    @property
    def begun(self) -> bool:
        return any(count.kept for count in self.rules.values()) or any(
            one.answers.kept for one in self.arms
        )


def look(grid: Grid, root: Path) -> Status:
    """The state of a grid's folder, which may be run meanwhile; nothing is written."""
    run = current(root)
    rules = {
        rule: Count(len(files), sum((root / file).is_file() for file in files))
        for rule, files in outputs(grid).items()
    }
    arms = list(arms_progress(grid, Holdings(grid, root)))
    running = list(running_jobs(grid, root)) if run is not None else []
    left, source = time_left(grid, root, rules, arms, running)
    return Status(run, last(root), rules, arms, running, left, source)


def arms_progress(grid: Grid, holdings: Holdings) -> Iterator[ArmProgress]:
    spec = JudgeSpec.model_validate_json(judge_spec(grid, grid.judged[0]))
    for arm in grid.arms:
        trained = sum(holdings.trained(stage) for stage in arm.stages)
        yield ArmProgress(
            arm=arm,
            trained=Count(len(arm.stages), trained),
            answers=NOTHING if arm.source else holdings.answers(arm),
            scores=holdings.scores(arm),
            judged=holdings.judged(arm, spec),
        )


def running_jobs(grid: Grid, root: Path) -> Iterator[Running]:
    """The jobs of this grid that have begun and not ended."""
    begun = {decoded(path.name) for path in (root / BEGUN).glob("*") if path.is_file()}
    for rule, files in outputs(grid).items():
        for file in files:
            made = {file, f"{Path(file).parent}/{layout.ADAPTER}/{layout.WEIGHTS}"}
            if begun & (made if rule == "train" else {file}):
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
    """What a job's log is called: after its stage, its record, or what it makes."""
    path = Path(file)
    if rule in ("mix", "preflight", "train"):
        return path.parent.name.removeprefix("stage=")
    if rule == "model":
        return path.parent.name
    return file.rsplit("/", 1)[-1].removesuffix(path.suffix)


def last_line(log: Path) -> str:
    """The last line of a progress bar, which writes its lines over each other; without one, the
    last with anything in it."""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - TAIL, 0))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]", text)]
    bars = [line[: found.end()] for line in lines if (found := BAR.search(line))]
    return next((line for line in reversed(bars or lines) if line), "")


def pace(line: str) -> tuple[float | None, float | None]:
    """Seconds for one step, and for all that are left, of a line of a progress bar."""
    found = BAR.search(line)
    if not found or int(found[1]) == 0:
        return None, None
    each = seconds_of(found[3]) / int(found[1])
    return each, each * (int(found[2]) - int(found[1]))


def seconds_of(clock: str) -> float:
    """Seconds of `1:02:03`."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)


def time_left(
    grid: Grid,
    root: Path,
    rules: dict[str, Count],
    arms: list[ArmProgress],
    running: list[Running],
) -> tuple[float | None, str]:
    """Seconds until the grid is done, with as many jobs at a time as run now, and by what was
    measured: in the bars of running jobs, else in records. None where a rule has no record."""
    outlay = Outlay(grid, root)
    bars = {job.rule: job for job in running if job.seconds_each is not None}
    total = 0.0
    sources = []
    for rule, count in rules.items():
        if not count.missing:
            continue
        if rule in bars and rule in ROWS:
            rows = sum(getattr(one, ROWS[rule]).missing for one in arms)
            total += rows * (bars[rule].seconds_each or 0.0)
            sources.append("progress of running jobs")
            continue
        seconds, source = left_of(rule, count, outlay, root, arms)
        if seconds is None:
            return None, f"unknown: no record of {rule} on {grid.config.device}"
        total += seconds
        sources.append(source)
    longest = max((job.seconds_left or 0.0 for job in running), default=0.0)
    return max(total / max(len(running), 1), longest), sources_told(sources)


def left_of(
    rule: str, count: Count, outlay: Outlay, root: Path, arms: list[ArmProgress]
) -> tuple[float | None, str]:
    """Seconds that a rule's jobs will take yet, by records."""
    rate = outlay.records.rate
    if rule == "train":
        due = [s for s in outlay.grid.stages.values() if not (root / s.adapter_record).is_file()]
        work = [(outlay.stage_tokens(one).value or 0, rate(rule, one.base)) for one in due]
    elif rule == "sample":
        work = [
            (one.answers.missing * one.arm.sampling.max_tokens, rate(rule, one.arm.base))
            for one in arms
            if one.arm.settings
        ]
    elif rule == "likelihood":
        work = [(one.scores.missing, rate(rule, one.arm.base)) for one in arms if one.arm.settings]
    elif rule == "judge":
        work = [(one.judged.missing, rate(rule)) for one in arms]
    else:
        work = [(count.missing, rate(rule))]
    found = outlay.hours([(amount, known) for amount, known in work if amount], count.missing)
    return (None if found.value is None else found.value * 3600), found.source
