"""Why jobs would run, grouped where they would for equal reasons, and what each rule will cost."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emgrid.grid.arms import Arm
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.planning.dry_run import Job, Needed
from emgrid.planning.estimates import Estimates
from emgrid.planning.inventory import NOTHING, Inventory, RowCount
from emgrid.planning.measurements import Rate, estimate_seconds
from emgrid.planning.spec_diff import MISSING, Change

NAMED = 3  # files, or entries, that a reason names


@dataclass(frozen=True)
class Group:
    """Jobs of a rule with equal reasons."""

    rule: str
    reasons: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What the jobs of a rule will do anew. at_most: some of it may turn out to be kept, or equal
    to another. seconds: None where nothing was ever measured."""

    rule: str
    jobs: int
    new: int | None
    unit: str
    at_most: bool
    seconds: float | None
    source: str


def grouped(jobs: Iterable[Job]) -> list[Group]:
    """Jobs with equal reasons as one; the entries that a change is about are counted together."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    numbers: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for job in jobs:
        told = reasons(job)
        same = job.rule, tuple(told)
        found[same].append(job.name)
        for reason, number in told.items():
            numbers[*same, reason] += number
    return [
        Group(rule, tuple(counted(one, numbers[rule, told, one]) for one in told), tuple(names))
        for (rule, told), names in found.items()
    ]


def counted(reason: str, number: int) -> str:
    """A reason with the number of entries (arms, say) of the spec that it is about."""
    listed = reason.split(".", 1)[0]
    return f"{reason} ({number:,} {listed})" if number else reason


def reasons(job: Job) -> dict[str, int]:
    """Why a job would run, in words, what it depends on first; each with the number of the spec's
    entries that it is about, 0 where it is about no single ones."""
    told = alike(job.changed)
    if job.version:
        told[f"code version {job.version[0]} → {job.version[1]}"] = 0
    if job.stopped:
        told["its last run did not end"] = 0
    if job.missing:
        told["not made yet" if not job.recorded else f"gone: {files(job.missing)}"] = 0
    if job.renewed:
        told[f"newer input: {files(job.renewed)}"] = 0
    if job.added:
        told[f"further input: {files(job.added)}"] = 0
    if job.dropped:
        told[f"input no more: {files(job.dropped)}"] = 0
    if job.follows and (job.recorded or not told):
        told[f"follows from {', '.join(job.follows)}"] = 0
    return told or {"Snakemake gives no reason": 0}


def alike(found: Iterable[Change]) -> dict[str, int]:
    """Changes in words: equal ones of several entries of a list as one, with their number; entries
    that came or went as one for their place."""
    told: dict[str, int] = defaultdict(int)
    listed: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for one in found:
        if one.where or MISSING not in (one.old, one.new):
            told[f"{one.place}: {one.old} → {one.new}"] += bool(one.where)
        else:
            came = one.old == MISSING
            listed[one.place, came].append(one.new if came else one.old)
    for (place, came), entries in listed.items():
        names = files(entries)
        told[f"{place}: {MISSING} → {names}" if came else f"{place}: {names} → {MISSING}"] = 0
    return dict(told)


def files(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


class Costs:
    """What the jobs that would run will do anew."""

    def __init__(self, needed: Needed, root: Path) -> None:
        self.grid: Grid = needed.grid
        self.jobs: dict[str, list[Job]] = {}
        for job in needed.jobs:
            self.jobs.setdefault(job.rule, []).append(job)
        self.estimates = Estimates(self.grid, root)
        mixed = [job.name for job in self.jobs.get("mix", ())]
        due = [self.grid.stages[job.name] for job in self.jobs.get("train", ())]
        self.inventory = Inventory(self.grid, root, [stage.name for stage in due], mixed)
        self.new_stages = [one for one in due if not self.inventory.kept_training(one)]
        # A training may yet turn out to be kept, once its rows are mixed or its parent is trained.
        self.unsure = any(not self.inventory.training_name(one) for one in self.new_stages)

    def all(self) -> list[Cost]:
        return [self.of(rule) for rule in self.jobs]

    def of(self, rule: str) -> Cost:
        if rule == "train":
            return self.train()
        if rule == "sample":
            return self.sample()
        if rule == "likelihood":
            return self.likelihood()
        if rule == "sample_served":
            arms = [arm for arm in self.grid.served if self.runs(rule, " ".join(arm.cell.values()))]
            total = sum(map(self.inventory.answers, arms), NOTHING)
            return self.counted(rule, "answers", total)
        if rule == "judge":
            return self.judge()
        number = len(self.jobs[rule])
        return self.priced(rule, NOTHING, "", [(number, self.estimates.measurements.rate(rule))])

    def runs(self, rule: str, name: str) -> bool:
        return any(job.name == name for job in self.jobs.get(rule, ()))

    def arms_of(self, rule: str) -> list[Arm]:
        return [a for bucket in self.buckets_of(rule, self.grid.buckets) for a in bucket.arms]

    def buckets_of(self, rule: str, buckets: Iterable[Bucket]) -> list[Bucket]:
        return [bucket for bucket in buckets if self.runs(rule, bucket.name)]

    def train(self) -> Cost:
        work = [
            (self.estimates.stage_tokens(one).value or 0, self.rate("train", one.base))
            for one in self.new_stages
        ]
        count = RowCount(len(self.new_stages), 0, not self.unsure)
        return self.priced("train", count, "trainings", work)

    def sample(self) -> Cost:
        found = [(arm, self.inventory.answers(arm)) for arm in self.arms_of("sample")]
        total = sum((count for _, count in found), NOTHING)
        work = [
            (count.missing * arm.sampling.max_tokens, self.rate("sample", arm.base))
            for arm, count in found
            if count.missing
        ]
        return self.priced("sample", total, "answers", work)

    def likelihood(self) -> Cost:
        found = [(arm, self.inventory.scores(arm)) for arm in self.arms_of("likelihood")]
        total = sum((count for _, count in found), NOTHING)
        work = [(n.missing, self.rate("likelihood", arm.base)) for arm, n in found if n.missing]
        return self.priced("likelihood", total, "scored answers", work)

    def judge(self) -> Cost:
        redrawn = any(rule in self.jobs for rule in ("sample", "sample_served", "import_answers"))
        buckets = self.buckets_of("judge", self.grid.judged)
        total = sum((self.inventory.judgements(one, redrawn) for one in buckets), NOTHING)
        return self.counted("judge", "judgements", total)

    def rate(self, rule: str, base: str | None = None) -> Rate | None:
        return self.estimates.measurements.rate(rule, base)

    def counted(self, rule: str, unit: str, count: RowCount) -> Cost:
        work = [(count.missing, self.rate(rule))] if count.missing else []
        return self.priced(rule, count, unit, work)

    def priced(
        self, rule: str, count: RowCount, unit: str, work: Sequence[tuple[float, Rate | None]]
    ) -> Cost:
        jobs = len(self.jobs[rule])
        seconds, source = estimate_seconds(work, jobs)
        new = count.missing if unit else None
        return Cost(rule, jobs, new, unit, not count.known, seconds, source)
