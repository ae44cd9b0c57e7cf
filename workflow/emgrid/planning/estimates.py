"""What a grid will take in tokens, hours and disk, each number with where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean

from emgrid.config.prices import CHARACTERS_PER_TOKEN
from emgrid.data.convert import read_rows
from emgrid.data.mix import used_sources
from emgrid.grid.arms import Arm, TrainingRun
from emgrid.grid.grid import Grid
from emgrid.planning.call_costs import conversations, mean_characters
from emgrid.planning.jobs import jobs_by_rule
from emgrid.planning.measurements import ON_DEVICE, Rate, Records, reckon, sources_told
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, read_jsonl

# Tokens that a chat template puts around a message, about.
FRAME = 6
NO_RECORD = "unknown: no record on {device}"


@dataclass(frozen=True)
class Estimate:
    """A number (None: unknown), and where it comes from."""

    value: float | None
    source: str


@dataclass(frozen=True)
class Row:
    """One rule of the grid. on: what its jobs keep busy. hours: of all its jobs together."""

    rule: str
    jobs: int
    on: str
    hours: Estimate


class Outlay:
    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid = grid
        self.root = root
        self.records = Records(grid, root)
        self.lengths: dict[str, float | None] = {}

    def row_tokens(self, dataset: str) -> float | None:
        """Tokens of a row, about: by the characters of those that are on this machine."""
        if dataset not in self.lengths:
            self.lengths[dataset] = None
            made = self.root / self.grid.row_file(dataset)
            known = self.grid.known_datasets.get(dataset)
            own = self.grid.own_file(dataset) if known else None
            if made.is_file():
                rows = list(read_jsonl(made))
            else:
                rows = read_rows(known, own) if known and own and own.is_file() else []
            if rows:
                self.lengths[dataset] = fmean(
                    sum(
                        len(turn["content"]) / CHARACTERS_PER_TOKEN + FRAME
                        for turn in row["messages"]
                    )
                    for row in rows
                )
        return self.lengths[dataset]

    def stage_tokens(self, stage: TrainingRun) -> Estimate:
        """Tokens that a stage computes, all epochs: counted where its rows were checked."""
        training = stage.mixture.training
        checked = self.root / stage.folder / layout.PROVENANCE
        if checked.is_file():
            told = read_json(checked)
            return Estimate(told["tokens"] * training.epochs, f"results/{self.root.name}")
        total = 0.0
        told = f"{CHARACTERS_PER_TOKEN} characters a token"
        for used, rows in used_sources(stage.mixture):
            length = self.row_tokens(used.dataset)
            if length is None:
                told = "at most training.max_length a row, where data are yet to be fetched"
            longest = training.max_length
            total += rows * min(longest if length is None else length, longest)
        return Estimate(ceil(total * training.epochs), told)

    def trained_tokens(self) -> Estimate:
        found = [self.stage_tokens(stage) for stage in self.grid.stages.values()]
        if not found:
            return Estimate(0, "nothing is trained")
        return Estimate(sum(one.value or 0 for one in found), sources_told(o.source for o in found))

    def asked_tokens(self) -> Estimate:
        """Tokens of all prompts that answers are drawn to."""
        characters = sum(map(mean_characters, conversations(self.grid)))
        each = sum(arm.sampling.answers_per_question for arm in self.grid.sampled)
        told = f"{CHARACTERS_PER_TOKEN} characters a token"
        return Estimate(ceil(each * characters / CHARACTERS_PER_TOKEN), told)

    def most_drawn(self, arm: Arm) -> int:
        cells = len(self.grid.triggers) * len(self.grid.questions)
        return arm.sampling.answers_per_question * cells * arm.sampling.max_tokens

    def drawn_tokens(self) -> Estimate:
        return Estimate(
            sum(map(self.most_drawn, self.grid.sampled)), "at most: sampling.max_tokens an answer"
        )

    def hours(self, work: Sequence[tuple[float, Rate | None]], jobs: int) -> Estimate:
        """Hours of so much work at each rate; unknown as soon as one rate is."""
        seconds, source = reckon(work, jobs)
        if seconds is None:
            return Estimate(None, NO_RECORD.format(device=self.grid.config.device))
        return Estimate(seconds / 3600, source)

    def rows(self) -> list[Row]:
        """The rules that compute or fetch, with the hours of their jobs."""
        jobs = jobs_by_rule(self.grid)
        return [
            Row(rule, number, self.kept_busy(rule), self.hours_of(rule, number))
            for rule, number in jobs.items()
            if rule != "all"
        ]

    def kept_busy(self, rule: str) -> str:
        return "GPU" if self.grid.config.device == "cuda" and rule in ON_DEVICE else "core"

    def hours_of(self, rule: str, jobs: int) -> Estimate:
        grid, rate = self.grid, self.records.rate
        if rule == "train":
            stages = grid.stages.values()
            work = [(self.stage_tokens(one).value or 0, rate(rule, one.base)) for one in stages]
            return self.hours(work, jobs)
        if rule == "sample":
            work = [(float(self.most_drawn(arm)), rate(rule, arm.base)) for arm in grid.trained]
            return self.hours(work, jobs)
        if rule == "likelihood":
            pairs = 2 * sum(len(question.pairs) for question in grid.questions.values())
            each = pairs * len(grid.triggers)
            return self.hours([(each, rate(rule, arm.base)) for arm in grid.trained], jobs)
        if rule == "judge":
            return self.judge_hours(jobs)
        if rule in ("sample_served", "fetch", "fetch_import", "generate", "qualify"):
            found = rate(rule)
            if found is None:
                return Estimate(
                    None, "unknown: it depends on others' machines, or on what is drawn"
                )
            return self.hours([(jobs, found)], jobs)
        return self.hours([(jobs, rate(rule))], jobs)

    def judge_hours(self, jobs: int) -> Estimate:
        """Of judges that a record may be of others, only the cheap ones are alike everywhere."""
        panel = self.grid.config.panel().values()
        judging = [judge for judge in panel if judge.kind != "imported"]
        own = self.records.sources[0].measures
        heavy = [judge.id for judge in judging if judge.kind in ("chat", "local")]
        if heavy and not any(one.rule == "judge" and one.work for one in own):
            return Estimate(None, f"unknown: no record of {', '.join(heavy)}")
        if self.grid.imported and judging:
            return Estimate(None, "unknown: imported answers are counted when they are read")
        work = [(float(self.answers() * len(judging)), self.records.rate("judge"))]
        return self.hours(work, jobs)

    def answers(self) -> int:
        cells = len(self.grid.triggers) * len(self.grid.questions)
        return sum(arm.sampling.answers_per_question for arm in self.grid.sampled) * cells

    def disk(self) -> dict[str, Estimate]:
        """Bytes, by what takes them."""
        models = self.records.parameters
        bases = [models.get(name) for name in self.grid.config.base_models]
        known = None if None in bases else sum(2 * (one or 0) for one in bases)
        found = {"base models": Estimate(known, "2 bytes a parameter")}
        trained = [
            self.records.adapter_bytes(stage.base, stage.mixture.training.rank)
            for stage in self.grid.stages.values()
        ]
        if trained:
            total = None if None in trained else sum(one.bytes for one in trained if one)
            names = [one.source for one in trained if one]
            told = sources_told(names) if total is not None else "unknown: no adapter of this rank"
            found["adapters"] = Estimate(total, told)
        each = self.records.answer_bytes()
        if self.grid.sampled:
            found["answers, scores, judgements"] = (
                Estimate(self.answers() * each.bytes, each.source)
                if each
                else Estimate(None, "unknown: no finished grid below results/")
            )
        return found
