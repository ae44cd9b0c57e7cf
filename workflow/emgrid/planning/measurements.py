"""What stages took, measured: in this grid, in others beside it, or in the repository's benchmarks.

Each number says where it comes from. What a model computes is scaled by the number of parameters,
and never taken from another device; of other jobs one is taken to be as long as another. Without a
measure there is no number.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.models.prepare import load_registry
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

BENCHMARKS = ROOT / "benchmarks/results.json"
# Of these, time grows with the number of parameters of the model. The work is counted in tokens of
# all epochs (train), tokens that answers may have (sample), matched answers (likelihood).
SCALED = ("train", "sample", "likelihood")
ON_DEVICE = (*SCALED, "generate")
PER_ANSWER = ("arms/**/*.jsonl", "rows/*/*.jsonl", f"{layout.STORED_JUDGEMENTS}/*/*.jsonl")
TRAININGS = layout.stage_file("*", layout.PROVENANCE)
SAMPLINGS = f"{layout.arm_folder('*', '*', '*', '*')}/{layout.ANSWERS}/{layout.PROVENANCE}"
LABELLED = "labelled.jsonl"  # judgements of the panel's measurement, the same for any grid
COMPUTED = re.compile(r"^model compute: ([0-9.]+) s of", re.MULTILINE)
COUNTED = {
    "sample": re.compile(r"^(\d+) answers drawn", re.MULTILINE),
    "likelihood": re.compile(r"^(\d+) answers scored", re.MULTILINE),
    "judge": re.compile(r"^\S+: (\d+) judged", re.MULTILINE),
}


Parameters = Mapping[str, int | None]  # of base models, by name


@dataclass(frozen=True)
class Measure:
    """work: how much was done in so many seconds; for most rules, jobs. parameters: of the model,
    where it matters. start: seconds that the jobs took beside, to load and to write."""

    rule: str
    device: str
    seconds: float
    work: float
    parameters: int | None = None
    start: float = 0.0
    jobs: int = 1


@dataclass(frozen=True)
class Rate:
    """Seconds for one unit of a rule's work, and for each job beside."""

    seconds: float
    source: str
    start: float = 0.0


@dataclass(frozen=True)
class Size:
    """Bytes of one adapter, or for each answer."""

    bytes: float
    source: str


@dataclass(frozen=True)
class Source:
    """folder: of the grid that was measured, None where it is a benchmark's record."""

    name: str
    measures: tuple[Measure, ...]
    folder: Path | None = None


class Records:
    """What is known of a grid's stages, nearest first: itself, finished grids beside it, and the
    benchmarks of the repository."""

    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid = grid
        models = load_registry() | grid.config.models
        self.parameters = {name: model.parameters for name, model in models.items()}
        others = sorted(
            (path.parents[1] for path in root.parent.glob(f"*/{layout.ANSWER_TABLE}")),
            key=lambda path: -(path / layout.ANSWER_TABLE).stat().st_mtime,
        )
        folders = [root, *(path for path in others if path != root)]
        self.sources = [
            Source(f"results/{path.name}", tuple(measures_of(path, self.parameters)), path)
            for path in folders
        ]
        self.sources += benchmarks(BENCHMARKS)
        self.found: dict[tuple[str, str | None], Rate | None] = {}
        self.sizes: dict[tuple[str, int], Size | None] = {}

    def rate(self, rule: str, base: str | None = None) -> Rate | None:
        """Seconds for a unit of work on a base model, by the nearest source that measured it."""
        if (rule, base) not in self.found:
            self.found[rule, base] = self.look_up(rule, base)
        return self.found[rule, base]

    def look_up(self, rule: str, base: str | None) -> Rate | None:
        parameters = self.parameters.get(base) if base else None
        for source in self.sources:
            found = [
                one
                for one in source.measures
                if one.rule == rule and one.work > 0
                if one.device == self.grid.config.device or rule not in ON_DEVICE
            ]
            if rule not in SCALED and found:
                seconds = sum(one.seconds for one in found) / sum(one.work for one in found)
                other = source is not self.sources[0] and rule not in COUNTED
                told = source.name + (", a job as long as there" if other else "")
                return Rate(seconds, told, start_of(found))
            same = [one for one in found if one.parameters and one.parameters == parameters]
            usable = same or [one for one in found if one.parameters and parameters]
            if usable and parameters:
                work = sum(one.work * (one.parameters or 0) for one in usable)
                seconds = sum(one.seconds for one in usable) * parameters / work
                told = source.name + ("" if same else ", scaled by parameters")
                return Rate(seconds, told, start_of(usable))
        return None

    def adapter_bytes(self, base: str, rank: int) -> Size | None:
        """What an adapter of this rank on this base model takes, where one was trained."""
        if (base, rank) not in self.sizes:
            self.sizes[base, rank] = next(self.adapters_like(base, rank), None)
        return self.sizes[base, rank]

    def adapters_like(self, base: str, rank: int) -> Iterator[Size]:
        for source in self.sources:
            for path in sorted(
                source.folder.glob(layout.stage_file("*", layout.PROVENANCE))
                if source.folder
                else ()
            ):
                spec = read_json(path)["spec"]
                if (spec["base"], spec["training"]["rank"]) == (base, rank):
                    files = (path.parent / layout.ADAPTER).iterdir()
                    yield Size(sum(file.stat().st_size for file in files), source.name)

    def answer_bytes(self) -> Size | None:
        """What a finished grid's answers, scores and judgements take, for each answer."""
        for source in self.sources:
            if source.folder is None or not (source.folder / layout.ANSWER_TABLE).is_file():
                continue
            rows = source.folder.glob(SAMPLINGS)
            answers = sum(read_json(path)["answers"] for path in rows)
            if answers:
                files = (file for part in PER_ANSWER for file in source.folder.glob(part))
                total = sum(file.stat().st_size for file in files if file.name != LABELLED)
                return Size(total / answers, source.name)
        return None


def start_of(measures: Sequence[Measure]) -> float:
    return sum(one.start for one in measures) / sum(one.jobs for one in measures)


def measures_of(root: Path, parameters: Parameters) -> Iterator[Measure]:
    """What the files of a grid tell of its jobs."""
    device = "cpu"
    for path in sorted(root.glob(TRAININGS)):
        told = read_json(path)
        device = told["device"].split(" ")[0]
        work = told["tokens"] * told["epochs"]
        base = parameters.get(told["spec"]["base"])
        steps = told.get("step_seconds", told["seconds"])
        yield Measure("train", device, steps, work, base, max(told["seconds"] - steps, 0.0))
    lengths = []
    for path in sorted(root.glob(SAMPLINGS)):
        told = read_json(path)
        device = told["device"].split(" ")[0]
        lengths.append(told["spec"]["sampling"]["max_tokens"])
    tokens = sum(lengths) / len(lengths) if lengths else 0.0
    for path in sorted((root / layout.BENCHMARKS).rglob("*.tsv")):
        place = path.relative_to(root / layout.BENCHMARKS).with_suffix("")
        rule = place.parts[0]
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        at = header.split("\t").index("s")
        seconds = sum(float(line.split("\t")[at]) for line in lines)
        if rule in COUNTED:
            each = tokens if rule == "sample" else 1.0
            base = parameters.get(place.name.rsplit(".", 2)[0])
            yield logged(root / layout.log(str(place)), rule, device, seconds, each, base)
        elif rule != "train":
            yield Measure(rule, device, seconds, len(lines))


def logged(
    log: Path, rule: str, device: str, seconds: float, each: float, base: int | None
) -> Measure:
    """A job whose log says how much it did, and for how long of its time a model computed."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    work = each * sum(map(int, COUNTED[rule].findall(text)))
    computed = sum(map(float, COMPUTED.findall(text))) or seconds
    return Measure(rule, device, computed, work, base, max(seconds - computed, 0.0))


def reckon(work: Sequence[tuple[float, Rate | None]], jobs: int) -> tuple[float | None, str]:
    """Seconds of so much work at each rate, in so many jobs, and where that comes from; unknown as
    soon as one rate is."""
    rates = [rate for _, rate in work if rate is not None]
    if len(rates) < len(work):
        return None, ""
    total = sum(amount * rate.seconds for (amount, _), rate in zip(work, rates, strict=True))
    if rates:
        total += jobs * sum(rate.start for rate in rates) / len(rates)
    return total, sources_told(rate.source for rate in rates) if rates else ""


def benchmarks(path: Path) -> list[Source]:
    """The rates that benchmark records state, as benchmarks/grid.py writes them."""
    if not path.is_file():
        return []
    records: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Source(
            f"benchmarks/results.json: {name}",
            tuple(Measure(**measure) for measure in record["measures"]),
        )
        for name, record in records.items()
        if record.get("measures")
    ]


def sources_told(sources: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(sources)) or "unknown"
