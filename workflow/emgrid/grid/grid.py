"""A grid: its arms, training stages, generated training sets, and the jobs that arms share.

What each job depends on is made in specs/, in one file for each rule file.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from emgrid.config.catalogue import Catalogue, Experiment
from emgrid.config.config import Config
from emgrid.config.datasets import local_file
from emgrid.config.questions import Question, QuestionText
from emgrid.config.sections import by_size
from emgrid.config.triggers import Trigger, Wording
from emgrid.data.mix import used_sources
from emgrid.grid.arms import Arm, ImportedAdapter, TrainingRun, expand, name_of
from emgrid.grid.buckets import Bucket, share_out
from emgrid.grid.generated import GeneratedAnswers, GeneratedDataset, SelectedRows, generated_of
from emgrid.grid.rounds import RoundState, read_rounds
from emgrid.models import adapter_files
from emgrid.models.model_files import Content
from emgrid.models.model_files import content as content_of_model
from emgrid.runtime import layout
from emgrid.runtime.files import users_path


@dataclass(frozen=True, eq=False)
class Grid:
    """What a config makes. Nothing is computed before it is asked for, and then once."""

    experiment: Experiment
    contents: dict[str, Content] = field(default_factory=dict, init=False, repr=False)

    @property
    def config(self) -> Config:
        """What was written."""
        return self.experiment.config

    @property
    def catalogue(self) -> Catalogue:
        """What the names of the config stand for."""
        return self.experiment.catalogue

    @property
    def root(self) -> str:
        """The grid's folder, from where Snakemake is started."""
        return layout.grid_folder(self.config.name)

    @cached_property
    def arms(self) -> list[Arm]:
        return expand(self.config)

    @cached_property
    def rounds(self) -> RoundState | None:
        """How far the rounds are; None if all questions are asked at once."""
        if self.config.rounds is None:
            return None
        return read_rounds(self.config.rounds, users_path(self.root))

    def limits(self, arm: Arm) -> dict[str, tuple[str, ...]] | None:
        """The questions that an arm is asked under each trigger in this round; None for all."""
        if self.rounds is None or arm.source is not None:
            return None
        names = tuple(self.questions)
        return {
            trigger: names[: self.rounds.questions(name_of(arm), trigger)]
            for trigger in self.config.triggers
        }

    def n_asked(self, arm: Arm) -> int:
        """How many questions an arm is asked in this round, over all triggers."""
        limits = self.limits(arm)
        if limits is None:
            return len(self.triggers) * len(self.questions)
        return sum(len(names) for names in limits.values())

    @cached_property
    def questions(self) -> dict[str, Question]:
        number = self.config.matched_pairs
        found = self.catalogue.questions
        return {name: question.with_pairs(number) for name, question in found.items()}

    @cached_property
    def triggers(self) -> dict[str, Trigger]:
        return {name: self.catalogue.triggers[name] for name in self.config.triggers}

    @cached_property
    def asked(self) -> dict[str, QuestionText]:
        """What models are asked: each question's wordings, and its own system prompt."""
        return {name: question.without_pairs() for name, question in self.questions.items()}

    @cached_property
    def wordings(self) -> dict[str, Wording]:
        """The part of each trigger that a model or a judge gets to see."""
        return {name: trigger.wording() for name, trigger in self.triggers.items()}

    @cached_property
    def stages(self) -> dict[str, TrainingRun]:
        """Training stages by name; a stage that several arms begin with is there once. What a
        stage needs comes before it."""
        runs: dict[str, TrainingRun] = {}

        def add(run: TrainingRun) -> None:
            for other in run.needs:
                add(other)
            runs.setdefault(run.name, run)

        for arm in self.arms:
            for stage in arm.stages:
                add(stage)
        return runs

    @cached_property
    def stops(self) -> dict[str, tuple[str, ...]]:
        """For each training that arms take adapters from on its way: at which shares of it."""
        found: dict[str, set[str]] = {}
        for run in self.stages.values():
            if run.whole:
                found.setdefault(run.whole.name, set()).add(run.mixture.until)
        return {name: by_size(tuple(shares)) for name, shares in found.items()}

    @cached_property
    def adapters(self) -> dict[str, ImportedAdapter]:
        """Adapters that were trained elsewhere, by name."""
        return {arm.start.name: arm.start for arm in self.arms if arm.start is not None}

    def parent(self, stage: TrainingRun) -> TrainingRun | ImportedAdapter | None:
        """What made the adapter that a stage trains further."""
        if stage.parent is None:
            return None
        return self.stages.get(stage.parent) or self.adapters[stage.parent]

    @cached_property
    def generated(self) -> dict[str, GeneratedDataset]:
        """Generated training sets by name."""
        found = {
            source.dataset: generated_of(source, run.base, run.parent)
            for run in self.stages.values()
            for source in run.mixture.sources
        }
        return {name: made for name, made in found.items() if made}

    @cached_property
    def selected(self) -> dict[str, SelectedRows]:
        """Sets of rows that are chosen by likelihood, by name."""
        return {
            source.dataset: SelectedRows(source.selection, run.base, run.seed, rows, chooser.name)
            for run in self.stages.values()
            for source, rows in used_sources(run.mixture)
            if source.selection
            for chooser in run.choosing
        }

    @cached_property
    def drawn(self) -> dict[str, GeneratedAnswers]:
        """Jobs that draw answers to be trained on, by name."""
        return {drawn.name: drawn for rows in self.generated.values() for drawn in rows.drawn}

    @cached_property
    def has_pairs(self) -> bool:
        """Whether any question has matched answers, whose likelihood can be compared."""
        return bool(self.trained) and any(question.pairs for question in self.questions.values())

    @property
    def has_quality(self) -> bool:
        """Whether any judge of the panel can judge labelled answers."""
        return any(judge.kind != "imported" for judge in self.config.judges)

    @cached_property
    def trained(self) -> list[Arm]:
        """The arms whose models run here, the base model's own among them."""
        return [arm for arm in self.arms if arm.runs_here]

    @cached_property
    def served(self) -> list[Arm]:
        """The arms that are sampled at an endpoint."""
        return [arm for arm in self.arms if arm.served is not None]

    @cached_property
    def sampled(self) -> list[Arm]:
        return self.trained + self.served

    @cached_property
    def imported(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.source is not None]

    @cached_property
    def by_folder(self) -> dict[str, Arm]:
        return {arm.folder: arm for arm in self.arms}

    def arm(self, **cell: str) -> Arm:
        """The arm of these wildcards."""
        return self.by_folder[layout.arm_folder(**cell)]

    def row_files(self, stage: str) -> list[str]:
        """The files of chat rows that a stage mixes, below the grid's folder."""
        used = [source.dataset for source, _ in used_sources(self.stages[stage].mixture)]
        return [self.row_file(name) for name in dict.fromkeys(used)]

    def row_file(self, name: str) -> str:
        made = self.generated.get(name) or self.selected.get(name)
        return made.file if made else layout.dataset_file(name)

    def own_file(self, name: str) -> Path | None:
        """The local file of a data set, None if it is fetched."""
        dataset = self.catalogue.datasets[name]
        return local_file(dataset) if dataset.path is not None else None

    def own_import(self, arm: Arm) -> Path | None:
        """The local file that an arm is imported from, None if it is fetched."""
        path = arm.source.path if arm.source else None
        return users_path(path) if path is not None else None

    def own_model(self, base: str) -> Path | None:
        """The folder of a user's own model, None of a model of a package or the Hub."""
        path = self.catalogue.models[base].path
        return users_path(path) if path is not None else None

    def own_adapter(self, name: str) -> Path | None:
        """The user's folder of an adapter that was trained elsewhere, None of one of the Hub."""
        path = self.adapters[name].entry.path
        return users_path(path) if path is not None else None

    def adapter_content(self, name: str) -> Content | None:
        """The hashes of the files of a user's own adapter, by name."""
        folder, key = self.own_adapter(name), f"{layout.ADAPTERS}/{name}"
        if folder is not None and key not in self.contents:
            self.contents[key] = adapter_files.content(folder)
        return self.contents.get(key)

    def model_content(self, base: str) -> Content | None:
        """The hashes of the files of a user's own model, by name."""
        folder = self.own_model(base)
        if folder is not None and base not in self.contents:
            self.contents[base] = content_of_model(folder)
        return self.contents.get(base)

    def keep_judges(self, generated: str) -> list[str]:
        """The judges that decide which generated answers are trained on."""
        return [rule.judge for rule in self.generated[generated].generation.keep.judges]

    @cached_property
    def buckets(self) -> list[Bucket]:
        """The arms of each base model, shared out among its engines."""
        jobs = self.config.engines.jobs
        return share_out(self.trained, jobs, lambda arm: arm.sampling.loaded_as)

    @cached_property
    def judged(self) -> list[Bucket]:
        """The arms of each base model, shared out among the jobs that judge them."""
        return share_out(self.arms, self.config.engines.jobs, lambda arm: arm.place)

    @cached_property
    def answer_records(self) -> dict[str, str]:
        """By an arm's folder: the record of the job that writes its answers."""
        records = {
            arm.folder: layout.job_record("sample", b.name) for b in self.buckets for arm in b.arms
        }
        for job, arms in (("served", self.served), ("import", self.imported)):
            records |= {arm.folder: layout.job_record(job, arm.writer) for arm in arms}
        return records
