"""What stages took, measured: in this grid, in others beside it, or in the repository's benchmarks.

Each number says where it comes from. A measure of another base model is scaled by the number of
parameters, one of another device is not taken at all, and without a measure there is no number.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.assets import load_registry
from emgrid.files import read_json
from emgrid.grid import Grid

BENCHMARKS = ROOT / "benchmarks/results.json"
# Of these, time grows with the number of parameters of the model. The work is counted in tokens of
# all epochs (train), tokens that answers may have (sample), matched answers (likelihood).
SCALED = ("train", "sample", "likelihood")
PER_ANSWER = (
    "arms", "rows/answers", "rows/likelihood", "rows/judgements", "tables", "figures",
    "report.html", "transcripts",
)  # fmt: skip
COUNTED = {
    "likelihood": re.compile(r"^(\d+) answers scored", re.MULTILINE),
    "judge": re.compile(r"^\S+: (\d+) judged", re.MULTILINE),
}


Parameters = Mapping[str, int | None]  # of base models, by name


@dataclass(frozen=True)
class Measure:
    """work: how much was done in so many seconds; for most rules, jobs. parameters: of the model,
    where it matters."""

    rule: str
    device: str
    seconds: float
    work: float
    parameters: int | None = None


@dataclass(frozen=True)
class Rate:
    """Seconds for one unit of a rule's work."""

    seconds: float
    source: str


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
            (path.parents[1] for path in root.parent.glob("*/tables/answers.parquet")),
            key=lambda path: -(path / "tables/answers.parquet").stat().st_mtime,
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
                if one.rule == rule and one.work > 0 and one.device == self.grid.config.device
            ]
            if rule not in SCALED and found:
                seconds = sum(one.seconds for one in found) / sum(one.work for one in found)
                return Rate(seconds, source.name)
            same = [one for one in found if one.parameters and one.parameters == parameters]
            usable = same or [one for one in found if one.parameters and parameters]
            if usable and parameters:
                work = sum(one.work * (one.parameters or 0) for one in usable)
                seconds = sum(one.seconds for one in usable) * parameters / work
                return Rate(seconds, source.name + ("" if same else ", scaled by parameters"))
        return None

    def adapter_bytes(self, base: str, rank: int) -> Size | None:
        """What an adapter of this rank on this base model takes, where one was trained."""
        if (base, rank) not in self.sizes:
            self.sizes[base, rank] = next(self.adapters_like(base, rank), None)
        return self.sizes[base, rank]

    def adapters_like(self, base: str, rank: int) -> Iterator[Size]:
        for source in self.sources:
            for path in sorted(
                source.folder.glob("stages/*/provenance.json") if source.folder else ()
            ):
                spec = read_json(path)["spec"]
                if (spec["base"], spec["training"]["rank"]) == (base, rank):
                    files = (path.parent / "adapter").iterdir()
                    yield Size(sum(file.stat().st_size for file in files), source.name)

    def answer_bytes(self) -> Size | None:
        """What answers, judgements, tables and report of a finished grid take, for each answer."""
        for source in self.sources:
            if source.folder is None or not (source.folder / "tables/answers.parquet").is_file():
                continue
            rows = source.folder.glob("arms/*/*/*/*/answers/provenance.json")
            answers = sum(read_json(path)["answers"] for path in rows)
            if answers:
                parts = [source.folder / part for part in PER_ANSWER]
                files = (file for part in parts for file in [part, *part.rglob("*")])
                total = sum(file.stat().st_size for file in files if file.is_file())
                return Size(total / answers, source.name)
        return None


def measures_of(root: Path, parameters: Parameters) -> Iterator[Measure]:
    """What the files of a grid tell of its jobs."""
    device = "cpu"
    for path in sorted(root.glob("stages/*/provenance.json")):
        told = read_json(path)
        device = told["device"].split(" ")[0]
        work = told["tokens"] * told["epochs"]
        base = parameters.get(told["spec"]["base"])
        yield Measure("train", device, told["seconds"], work, base)
    for path in sorted(root.glob("arms/*/*/*/*/answers/provenance.json")):
        told = read_json(path)
        device = told["device"].split(" ")[0]
        work = told["drawn"] * told["spec"]["sampling"]["max_tokens"]
        base = parameters.get(told["spec"]["base"])
        # The seconds are those of the whole job.
        yield Measure("sample", device, told["seconds"] / told["arms_of_job"], work, base)
    yield from timed(root, device, parameters)


def timed(root: Path, device: str, parameters: Parameters) -> Iterator[Measure]:
    """The jobs that Snakemake timed; how much they did stands in their logs."""
    for path in sorted((root / "benchmarks").rglob("*.tsv")):
        place = path.relative_to(root / "benchmarks").with_suffix("")
        rule = place.parts[0]
        if rule in ("train", "sample"):
            continue
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        at = header.split("\t").index("s")
        seconds = sum(float(line.split("\t")[at]) for line in lines)
        if rule not in COUNTED:
            yield Measure(rule, device, seconds, len(lines))
            continue
        log = root / "logs" / place.parent / f"{place.name}.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        work = sum(map(int, COUNTED[rule].findall(text)))
        base = place.name.rsplit(".", 2)[0]
        yield Measure(rule, device, seconds, work, parameters.get(base))


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
