"""Estimates of a grid's tokens, hours and disk space, each with its source."""

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
from emgrid.grid.searches import searches
from emgrid.planning import work_model
from emgrid.planning.call_costs import conversations, mean_characters, mean_draws
from emgrid.planning.jobs import jobs_by_rule
from emgrid.planning.measurements import (
    ON_DEVICE,
    Measurements,
    Rate,
    estimate_seconds,
    join_sources,
)
from emgrid.planning.search_work import search_work
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, read_jsonl

# Approximate number of tokens that a chat template adds to a message.
FRAME = 6
NO_RECORD = "unknown: no record on {device}"


@dataclass(frozen=True)
class Estimate:
    """A number (None if unknown) and its source."""

    value: float | None
    source: str


@dataclass(frozen=True)
class RuleEstimate:
    """One rule of the grid. on: the device that its jobs occupy. hours: of all its jobs
    together."""

    rule: str
    jobs: int
    on: str
    hours: Estimate


class Estimates:
    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid = grid
        self.root = root
        self.measurements = Measurements(grid, root)
        self.lengths: dict[str, float | None] = {}

    def row_tokens(self, dataset: str) -> float | None:
        """Approximate tokens per row, from the characters of the rows that exist here; else
        None."""
        if dataset not in self.lengths:
            self.lengths[dataset] = None
            prepared = self.root / self.grid.row_file(dataset)
            known = self.grid.catalogue.datasets.get(dataset)
            users_file = self.grid.own_file(dataset) if known else None
            if prepared.is_file():
                rows = list(read_jsonl(prepared))
            else:
                rows = (
                    read_rows(known, users_file)
                    if known and users_file and users_file.is_file()
                    else []
                )
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
        """Tokens that a stage computes over all epochs; exact once it was trained, else
        estimated."""
        training = stage.mixture.training
        if stage.whole:
            return Estimate(0, "part of another training")
        record_file = self.root / stage.folder / layout.PROVENANCE
        if record_file.is_file():
            record = read_json(record_file)
            return Estimate(record["tokens"] * training.epochs, f"results/{self.root.name}")
        total = 0.0
        source = f"{CHARACTERS_PER_TOKEN} characters per token"
        for used, rows in used_sources(stage.mixture):
            length = self.row_tokens(used.dataset)
            if length is None:
                source = "at most training.max_length per row, for data that are not fetched yet"
            longest = training.max_length
            total += rows * min(longest if length is None else length, longest)
        return Estimate(ceil(total * training.epochs), source)

    def trained_tokens(self) -> Estimate:
        trained = [stage for stage in self.grid.stages.values() if not stage.whole]
        estimates = [self.stage_tokens(stage) for stage in trained]
        if not estimates:
            return Estimate(0, "nothing is trained")
        tokens = sum(estimate.value or 0 for estimate in estimates)
        return Estimate(tokens, join_sources(estimate.source for estimate in estimates))

    def asked_tokens(self) -> Estimate:
        """Tokens of the prompts of all answers."""
        characters = sum(map(mean_characters, conversations(self.grid)))
        each = sum(arm.sampling.answers_per_question for arm in self.grid.sampled)
        source = f"{CHARACTERS_PER_TOKEN} characters per token"
        return Estimate(ceil(each * characters / CHARACTERS_PER_TOKEN), source)

    def most_drawn(self, arm: Arm) -> int:
        draws = sum(map(mean_draws, conversations(self.grid)))
        return ceil(arm.sampling.answers_per_question * draws * arm.sampling.max_tokens)

    def drawn_tokens(self) -> Estimate:
        return Estimate(
            sum(map(self.most_drawn, self.grid.sampled)), "at most: sampling.max_tokens per answer"
        )

    def hours(self, work: Sequence[tuple[float, Rate | None]], jobs: int) -> Estimate:
        """Hours for amounts of work, each at its rate; unknown if any rate is."""
        seconds, source = estimate_seconds(work, jobs)
        if seconds is None:
            return Estimate(None, NO_RECORD.format(device=self.grid.config.device))
        return Estimate(seconds / 3600, source)

    def rows(self) -> list[RuleEstimate]:
        """The rules that compute or fetch, with the hours of their jobs."""
        jobs = jobs_by_rule(self.grid)
        return [
            RuleEstimate(rule, number, self.kept_busy(rule), self.hours_of(rule, number))
            for rule, number in jobs.items()
            if rule != "all"
        ]

    def kept_busy(self, rule: str) -> str:
        computes = rule in (*ON_DEVICE, "screen", "sample_found")
        return "GPU" if self.grid.config.device == "cuda" and computes else "core"

    def hours_of(self, rule: str, jobs: int) -> Estimate:
        grid, rate = self.grid, self.measurements.rate
        if rule == "train":
            stages = grid.stages.values()
            work = [(self.stage_tokens(run).value or 0, rate(rule, run.base)) for run in stages]
            return self.hours(work, jobs)
        if rule == "sample":
            work = [(float(self.most_drawn(arm)), rate(rule, arm.base)) for arm in grid.trained]
            return self.hours(work, jobs)
        if rule == "likelihood":
            pairs = 2 * sum(len(question.pairs) for question in grid.questions.values())
            each = pairs * len(grid.triggers)
            return self.hours([(each, rate(rule, arm.base)) for arm in grid.trained], jobs)
        if rule == "judge":
            return self.judge_hours(jobs, self.answers())
        if rule in ("screen", "sample_found", "judge_found"):
            return self.search_hours(rule, jobs)
        if rule in ("sample_served", "fetch", "fetch_import", "generate", "qualify"):
            own_rate = rate(rule)
            if own_rate is None:
                return Estimate(
                    None, "unknown: it depends on remote machines, or on the answers drawn"
                )
            return self.hours([(jobs, own_rate)], jobs)
        return self.hours([(jobs, rate(rule))], jobs)

    def search_hours(self, rule: str, jobs: int) -> Estimate:
        """Hours of a search: its screens by the records of likelihoods, its answers and judgements
        by those of all others."""
        found = list(zip(searches(self.grid).values(), search_work(self.grid), strict=True))
        if rule == "judge_found":
            return self.judge_hours(jobs, sum(work.answers for _, work in found))
        if rule == "screen":
            rated = [(float(work.scored), search, "likelihood") for search, work in found]
        else:
            rated = [
                (float(work.answers * search.base.sampling.max_tokens), search, "sample")
                for search, work in found
            ]
        rate = self.measurements.rate
        return self.hours([(amount, rate(by, one.base.base)) for amount, one, by in rated], jobs)

    def judge_hours(self, jobs: int, answers: int) -> Estimate:
        """Hours of judging so many answers. Measurements of other grids apply only if all judges
        here are cheap ones."""
        panel = self.grid.catalogue.panel.values()
        judging = [judge for judge in panel if judge.kind != "imported"]
        measures = self.measurements.sources[0].measures
        heavy = [judge.id for judge in judging if judge.kind in ("chat", "local")]
        if heavy and not any(measure.rule == "judge" and measure.work for measure in measures):
            return Estimate(None, f"unknown: no record of {', '.join(heavy)}")
        if self.grid.imported and judging:
            return Estimate(None, "unknown: imported answers are counted when they are read")
        work = [(float(answers * len(judging)), self.measurements.rate("judge"))]
        return self.hours(work, jobs)

    def answers(self) -> int:
        cells = len(self.grid.triggers) * len(self.grid.questions)
        return sum(arm.sampling.answers_per_question for arm in self.grid.sampled) * cells

    def memory(self) -> dict[str, Estimate]:
        """Estimated bytes of GPU memory that a job needs; nothing for a grid on a CPU."""
        runs = list(self.grid.stages.values())
        if self.grid.config.device != "cuda" or not runs:
            return {}
        sizes = []
        for run in runs:
            training, parameters = run.mixture.training, self.measurements.parameters.get(run.base)
            if parameters is None:
                return {"GPU memory of a training": Estimate(None, "unknown: models.parameters")}
            quantised = training.method == "qlora"
            sizes.append(work_model.training_bytes(parameters, training.rank, quantised))
        source = (
            "model, not measured: weights, adapter and optimizer, and a quarter for activations"
        )
        return {"GPU memory of a training": Estimate(max(sizes), source)}

    def disk(self) -> dict[str, Estimate]:
        """Estimated bytes, by kind of file."""
        models = self.measurements.parameters
        names = [*self.grid.config.base_models, *(one.base for one in self.grid.config.adapters)]
        bases = [models.get(name) for name in dict.fromkeys(names)]
        model_bytes = None if None in bases else sum(2 * (parameters or 0) for parameters in bases)
        estimates = {"base models": Estimate(model_bytes, "2 bytes per parameter")}
        adapters = [
            self.measurements.adapter_bytes(stage.base, stage.mixture.training.rank)
            for stage in self.grid.stages.values()
        ]
        if adapters:
            total = (
                None if None in adapters else sum(adapter.bytes for adapter in adapters if adapter)
            )
            names = [adapter.source for adapter in adapters if adapter]
            source = (
                join_sources(names) if total is not None else "unknown: no adapter of this rank"
            )
            estimates["adapters"] = Estimate(total, source)
        each = self.measurements.answer_bytes()
        if self.grid.sampled:
            estimates["answers, scores, judgements"] = (
                Estimate(self.answers() * each.bytes, each.source)
                if each
                else Estimate(None, "unknown: no finished grid below results/")
            )
        return estimates
