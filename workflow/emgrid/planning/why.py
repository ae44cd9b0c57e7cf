"""Why jobs would run, grouped by equal reasons, and what each rule will cost."""

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

NAMED = 3  # most files or entries that a reason names


@dataclass(frozen=True)
class Group:
    """Jobs of one rule with equal reasons."""

    rule: str
    reasons: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """The new work of a rule's jobs. at_most: some of it may turn out to be stored, or equal to
    other work. seconds: None without a measurement."""

    rule: str
    jobs: int
    new: int | None
    unit: str
    at_most: bool
    seconds: float | None
    source: str


def grouped(jobs: Iterable[Job]) -> list[Group]:
    """Jobs grouped by equal reasons; the entries that a change concerns are counted together."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    numbers: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for job in jobs:
        texts = reasons(job)
        key = job.rule, tuple(texts)
        groups[key].append(job.name)
        for reason, number in texts.items():
            numbers[*key, reason] += number
    return [
        Group(
            rule, tuple(counted(text, numbers[rule, texts, text]) for text in texts), tuple(names)
        )
        for (rule, texts), names in groups.items()
    ]


def counted(reason: str, number: int) -> str:
    """A reason with the number of entries of the spec (such as arms) that it concerns."""
    listed = reason.split(".", 1)[0]
    return f"{reason} ({number:,} {listed})" if number else reason


def reasons(job: Job) -> dict[str, int]:
    """Why a job would run, in words, changed settings first; each reason with the number of entries
    of the spec that it concerns, or 0."""
    texts = alike(job.changed)
    if job.version:
        texts[f"code version {job.version[0]} → {job.version[1]}"] = 0
    if job.stopped:
        texts["its last run did not end"] = 0
    if job.missing:
        texts["not made yet" if not job.recorded else f"gone: {files(job.missing)}"] = 0
    if job.renewed:
        texts[f"newer input: {files(job.renewed)}"] = 0
    if job.added:
        texts[f"new input: {files(job.added)}"] = 0
    if job.dropped:
        texts[f"removed input: {files(job.dropped)}"] = 0
    if job.follows and (job.recorded or not texts):
        texts[f"follows from {', '.join(job.follows)}"] = 0
    return texts or {"Snakemake gives no reason": 0}


def alike(changes: Iterable[Change]) -> dict[str, int]:
    """Changes in words: equal changes of several entries of a list as one, with their number;
    entries that were added or removed as one per place."""
    texts: dict[str, int] = defaultdict(int)
    listed: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for change in changes:
        if change.where or MISSING not in (change.old, change.new):
            texts[f"{change.place}: {change.old} → {change.new}"] += bool(change.where)
        else:
            is_added = change.old == MISSING
            listed[change.place, is_added].append(change.new if is_added else change.old)
    for (place, is_added), entries in listed.items():
        names = files(entries)
        texts[f"{place}: {MISSING} → {names}" if is_added else f"{place}: {names} → {MISSING}"] = 0
    return dict(texts)


def files(names: Iterable[str]) -> str:
    """The first names, and the number of further ones."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


class Costs:
    """The new work of the jobs that would run."""

    def __init__(self, needed: Needed, root: Path) -> None:
        self.grid: Grid = needed.grid
        self.jobs: dict[str, list[Job]] = {}
        for job in needed.jobs:
            self.jobs.setdefault(job.rule, []).append(job)
        self.estimates = Estimates(self.grid, root)
        mixed = [job.name for job in self.jobs.get("mix", ())]
        due = [self.grid.stages[job.name] for job in self.jobs.get("train", ())]
        self.inventory = Inventory(self.grid, root, [stage.name for stage in due], mixed)
        self.new_stages = [stage for stage in due if not self.inventory.kept_training(stage)]
        # A training may turn out to be stored once its rows are mixed or its parent is trained.
        self.unsure = any(not self.inventory.training_name(stage) for stage in self.new_stages)

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
            (self.estimates.stage_tokens(stage).value or 0, self.rate("train", stage.base))
            for stage in self.new_stages
        ]
        count = RowCount(len(self.new_stages), 0, not self.unsure)
        return self.priced("train", count, "trainings", work)

    def sample(self) -> Cost:
        counts = [(arm, self.inventory.answers(arm)) for arm in self.arms_of("sample")]
        total = sum((count for _, count in counts), NOTHING)
        work = [
            (count.missing * arm.sampling.max_tokens, self.rate("sample", arm.base))
            for arm, count in counts
            if count.missing
        ]
        return self.priced("sample", total, "answers", work)

    def likelihood(self) -> Cost:
        counts = [(arm, self.inventory.scores(arm)) for arm in self.arms_of("likelihood")]
        total = sum((count for _, count in counts), NOTHING)
        work = [(n.missing, self.rate("likelihood", arm.base)) for arm, n in counts if n.missing]
        return self.priced("likelihood", total, "scored answers", work)

    def judge(self) -> Cost:
        redrawn = any(rule in self.jobs for rule in ("sample", "sample_served", "import_answers"))
        buckets = self.buckets_of("judge", self.grid.judged)
        total = sum((self.inventory.judgements(bucket, redrawn) for bucket in buckets), NOTHING)
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
