"""Measured times and sizes: from this grid, from others next to it, or from the benchmarks.

Each number names its source. The time that a model computes is scaled by its number of parameters,
and never taken from another device; other jobs are assumed to take the same time everywhere.
Without a measurement there is no number, except of what a GPU computes: see work_model.py.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.config.models import load_models
from emgrid.grid.grid import Grid
from emgrid.planning import work_model
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

BENCHMARKS = ROOT / "benchmarks/results.json"
# Rules whose time grows with the model's number of parameters. Their work is counted in tokens over
# all epochs (train), tokens that answers may have (sample), and matched answers (likelihood).
SCALED = ("train", "sample", "likelihood")
ON_DEVICE = (*SCALED, "generate")
PER_ANSWER = ("arms/**/*.jsonl", "rows/*/*.jsonl", f"{layout.STORED_JUDGEMENTS}/*/*.jsonl")
TRAININGS = layout.stage_file("*", layout.PROVENANCE)
SAMPLINGS = f"{layout.arm_folder('*', '*', '*', '*')}/{layout.ANSWERS}/{layout.PROVENANCE}"
LABELLED = "labelled.jsonl"  # judgements of labelled answers, the same for every grid
COMPUTED = re.compile(r"^model compute: ([0-9.]+) s of", re.MULTILINE)
COUNTED = {
    "sample": re.compile(r"^(\d+) answers drawn", re.MULTILINE),
    "likelihood": re.compile(r"^(\d+) answers scored", re.MULTILINE),
    "judge": re.compile(r"^\S+: (\d+) judged", re.MULTILINE),
}


Parameters = Mapping[str, int | None]  # of base models, by name


@dataclass(frozen=True)
class Measurement:
    """seconds: time for an amount of `work`, which is a number of jobs for most rules. parameters:
    of the model, if it matters. start: further seconds that the jobs took to load and to write."""

    rule: str
    device: str
    seconds: float
    work: float
    parameters: int | None = None
    start: float = 0.0
    jobs: int = 1


@dataclass(frozen=True)
class Rate:
    """Seconds per unit of a rule's work. start: further seconds per job."""

    seconds: float
    source: str
    start: float = 0.0


@dataclass(frozen=True)
class Size:
    """Bytes per adapter, or per answer."""

    bytes: float
    source: str


@dataclass(frozen=True)
class Source:
    """folder: of the measured grid, None for a benchmark record."""

    name: str
    measures: tuple[Measurement, ...]
    folder: Path | None = None


class Measurements:
    """The measurements that apply to a grid, nearest first: its own, those of finished grids next
    to it, and the repository's benchmarks."""

    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid = grid
        models = load_models() | grid.config.models
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
        self.rates: dict[tuple[str, str | None], Rate | None] = {}
        self.sizes: dict[tuple[str, int], Size | None] = {}

    def rate(self, rule: str, base: str | None = None) -> Rate | None:
        """Seconds per unit of work on a base model, from the nearest source that measured it."""
        if (rule, base) not in self.rates:
            self.rates[rule, base] = self.look_up(rule, base)
        return self.rates[rule, base]

    def look_up(self, rule: str, base: str | None) -> Rate | None:
        parameters = self.parameters.get(base) if base else None
        for source in self.sources:
            measures = [
                measure
                for measure in source.measures
                if measure.rule == rule and measure.work > 0
                if measure.device == self.grid.config.device or rule not in ON_DEVICE
            ]
            if rule not in SCALED and measures:
                work = sum(measure.work for measure in measures)
                seconds = sum(measure.seconds for measure in measures) / work
                is_other_grid = source is not self.sources[0] and rule not in COUNTED
                source_text = source.name + (", same time per job" if is_other_grid else "")
                return Rate(seconds, source_text, start_of(measures))
            sized = [measure for measure in measures if measure.parameters]
            same = [measure for measure in sized if measure.parameters == parameters]
            usable = same or sized
            if usable and parameters:
                work = sum(measure.work * (measure.parameters or 0) for measure in usable)
                seconds = sum(measure.seconds for measure in usable) * parameters / work
                source_text = source.name + ("" if same else ", scaled by parameters")
                return Rate(seconds, source_text, start_of(usable))
        if rule in SCALED and parameters and self.grid.config.device == "cuda":
            seconds = work_model.seconds_per_unit(rule, parameters)
            return Rate(seconds, work_model.stated(rule), work_model.START)
        return None

    def adapter_bytes(self, base: str, rank: int) -> Size | None:
        """The size of an adapter of this rank on this base model, if one was trained."""
        if (base, rank) not in self.sizes:
            self.sizes[base, rank] = next(self.adapters_like(base, rank), None)
            parameters = self.parameters.get(base)
            on_gpu = self.grid.config.device == "cuda"
            if self.sizes[base, rank] is None and parameters and on_gpu:
                size = work_model.adapter_parameters(parameters, rank) * work_model.ADAPTER_BYTES
                self.sizes[base, rank] = Size(size, "model, not measured: parameters and rank")
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
        """The size per answer of a finished grid's answers, scores and judgements."""
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


def start_of(measures: Sequence[Measurement]) -> float:
    """Mean seconds per job to load and to write."""
    return sum(measure.start for measure in measures) / sum(measure.jobs for measure in measures)


def measures_of(root: Path, parameters: Parameters) -> Iterator[Measurement]:
    """The measurements in a grid's files: provenance records, benchmarks and logs."""
    device = "cpu"
    for path in sorted(root.glob(TRAININGS)):
        record = read_json(path)
        if record["spec"].get("until", "1") != "1":  # measured as part of the whole training
            continue
        device = record["device"].split(" ")[0]
        work = record["tokens"] * record["epochs"]
        base = parameters.get(record["spec"]["base"])
        steps = record.get("step_seconds", record["seconds"])
        yield Measurement("train", device, steps, work, base, max(record["seconds"] - steps, 0.0))
    lengths = []
    for path in sorted(root.glob(SAMPLINGS)):
        record = read_json(path)
        device = record["device"].split(" ")[0]
        lengths.append(record["spec"]["sampling"]["max_tokens"])
    tokens = sum(lengths) / len(lengths) if lengths else 0.0
    for path in sorted((root / "benchmarks").rglob("*.tsv")):
        job_path = path.relative_to(root / "benchmarks").with_suffix("")
        rule = job_path.parts[0]
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        column = header.split("\t").index("s")
        seconds = sum(float(line.split("\t")[column]) for line in lines)
        if rule in COUNTED:
            work_per_row = tokens if rule == "sample" else 1.0
            base = parameters.get(job_path.name.rsplit(".", 2)[0])
            yield logged(
                root / "logs" / f"{job_path}.log", rule, device, seconds, work_per_row, base
            )
        elif rule != "train":
            yield Measurement(rule, device, seconds, len(lines))


def logged(
    log: Path, rule: str, device: str, seconds: float, work_per_row: float, base: int | None
) -> Measurement:
    """The measurement of a job whose log has the amount of work and the model's computing time."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    work = work_per_row * sum(map(int, COUNTED[rule].findall(text)))
    model_seconds = sum(map(float, COMPUTED.findall(text))) or seconds
    return Measurement(rule, device, model_seconds, work, base, max(seconds - model_seconds, 0.0))


def estimate_seconds(
    work: Sequence[tuple[float, Rate | None]], jobs: int
) -> tuple[float | None, str]:
    """Seconds for amounts of work, each at its rate, in this number of jobs; and their source.
    Unknown if any rate is."""
    rates = [rate for _, rate in work if rate is not None]
    if len(rates) < len(work):
        return None, ""
    total = sum(amount * rate.seconds for (amount, _), rate in zip(work, rates, strict=True))
    if rates:
        total += jobs * sum(rate.start for rate in rates) / len(rates)
    return total, join_sources(rate.source for rate in rates) if rates else ""


def benchmarks(path: Path) -> list[Source]:
    """The measurements in benchmark records, as benchmarks/grid.py writes them."""
    if not path.is_file():
        return []
    records: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Source(
            f"benchmarks/results.json: {name}",
            tuple(Measurement(**measure) for measure in record["measures"]),
        )
        for name, record in records.items()
        if record.get("measures")
    ]


def join_sources(sources: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(sources)) or "unknown"
