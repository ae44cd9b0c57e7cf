"""A grid: its arms, the canonical spec of each job's result, and every path.

Results lie under `results/<grid>/`, where Snakemake works: paths are below it. They are made here
and in arms.py, and nowhere else.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from emgrid.config.config import Config
from emgrid.config.datasets import Dataset, local_file
from emgrid.config.judges import Judge, head_paths
from emgrid.config.models import template_text
from emgrid.config.published import reference_rates
from emgrid.data.fetch import FetchSpec
from emgrid.data.mix import used_sources
from emgrid.grid.arms import Arm, Drawn, Generated, TrainedStage, arm_folder, expand
from emgrid.grid.buckets import Bucket, share_out
from emgrid.grid.dose_curves import name_of, ratio_series, rows_series
from emgrid.judge import windows
from emgrid.models import gguf_file
from emgrid.models.model_files import Content
from emgrid.models.model_files import content as content_of_model
from emgrid.runtime.files import canonical, file_digest, users_path


class Grid:
    """A config's arms and stages, and the canonical spec of each job's result."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root = f"results/{config.name}"
        self.arms = expand(config)
        self.questions = config.asked()
        self.triggers = config.used_triggers()
        self.contents: dict[str, Content] = {}

    @cached_property
    def stages(self) -> dict[str, TrainedStage]:
        return {stage.name: stage for arm in self.arms for stage in arm.stages}

    @cached_property
    def generated(self) -> dict[str, Generated]:
        """Generated training sets by name."""
        return {
            source.dataset: Generated(source.dataset.split(".")[0], stage.base, source.generation)
            for stage in self.stages.values()
            for source in stage.stage.sources
            if source.generation
        }

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """Jobs that draw answers to be trained on, by name."""
        return {drawn.name: drawn for made in self.generated.values() for drawn in made.drawn}

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
        return [arm for arm in self.arms if arm.settings is not None]

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

    def row_files(self, stage: str) -> list[str]:
        """The files of chat rows that a stage mixes, below the grid's folder."""
        used = [source.dataset for source, _ in used_sources(self.stages[stage].stage)]
        return [self.row_file(name) for name in dict.fromkeys(used)]

    def row_file(self, name: str) -> str:
        made = self.generated.get(name)
        return made.file if made else f"assets/datasets/{name}.jsonl"

    def own_file(self, name: str) -> Path | None:
        """A data set's file where it need not be fetched."""
        dataset = self.known_datasets[name]
        return local_file(dataset) if dataset.path is not None else None

    @cached_property
    def known_datasets(self) -> dict[str, Dataset]:
        return self.config.known_datasets()

    def keep_judges(self, generated: str) -> list[str]:
        """The judges that decide which generated answers are kept."""
        return [rule.judge for rule in self.generated[generated].generation.keep.judges]

    def arm(self, **cell: str) -> Arm:
        return self.by_folder[arm_folder(**cell)]

    def model_spec(self, base: str) -> str:
        """What a base model is; of a user's own folder its content."""
        model = self.config.known_models()[base]
        spec: dict[str, Any] = {"name": base, "chat_template": template_text(model)}
        if model.system_prompt is not None:
            spec["system_prompt"] = model.system_prompt
        if model.path is not None:
            return canonical(spec | {"content": self.model_content(base)})
        if model.gguf is not None:
            spec["tokenizer"] = gguf_file.VERSION
        fields = bare(model.model_dump(mode="json", exclude={"system_prompt"}))
        return canonical(spec | {"model": fields})

    def own_model(self, base: str) -> Path | None:
        """The folder of a user's own model."""
        path = self.config.known_models()[base].path
        return users_path(path) if path is not None else None

    def model_content(self, base: str) -> Content | None:
        """The hashes of the files of a user's own model, by name."""
        folder = self.own_model(base)
        if folder is not None and base not in self.contents:
            self.contents[base] = content_of_model(folder)
        return self.contents.get(base)

    def fetch_spec(self, name: str) -> str:
        fields = set(FetchSpec.model_fields)
        dataset = self.known_datasets[name]
        return canonical({"name": name, **dataset.model_dump(mode="json", include=fields)})

    def fetch_import_spec(self, key: str) -> str:
        sources = [arm.source for arm in self.imported if arm.source and arm.source.key == key]
        fields = {"file", "url", "sha256", "bytes"}
        return canonical({"name": key, **sources[0].model_dump(mode="json", include=fields)})

    def dataset_spec(self, name: str) -> str:
        """What a data set's rows depend on; of a user's own file its content. What the entry names
        as unused changes no row."""
        dataset = bare(self.known_datasets[name].model_dump(mode="json", exclude={"unused"}))
        return canonical(
            {"name": name, "dataset": dataset, "content": content(self.own_file(name))}
        )

    def generate_spec(self, name: str) -> str:
        return canonical(self.drawn[name].spec)

    def qualify_spec(self, name: str) -> str:
        """What makes training rows of drawn answers."""
        keep = self.generated[name].generation.keep
        known = self.config.known_judges()
        judges = [known[judge] for judge in dict.fromkeys(self.keep_judges(name))]
        spec = {"name": name, "keep": keep.model_dump(mode="json")}
        heads = {path.name: file_digest(path) for path in head_paths(judges)}
        content = {"content": heads, "windows": windows.VERSION} if heads else {}
        return canonical(spec | {"judges": [judge.bare() for judge in judges]} | content)

    def mix_spec(self, name: str) -> str:
        stage = self.stages[name]
        used = [source.dataset for source, _ in used_sources(stage.stage)]
        files = {
            one: self.generated[one].file
            if one in self.generated
            else self.known_datasets[one].name
            for one in used
        }
        fields = stage.stage.model_dump(mode="json", exclude_defaults=True)
        return canonical({"stage": fields, "seed": stage.seed, "files": files})

    def preflight_spec(self, name: str) -> str:
        stage = self.stages[name]
        training = stage.stage.training
        thoughts = [source.dataset for source in stage.stage.sources if source.thoughts]
        return canonical(
            {
                "stage": name,
                "base": stage.base,
                "max_length": training.max_length,
                "turns": training.turns,
                "thoughts": thoughts,
                "levels": self.config.preflight,
            }
        )

    def train_spec(self, name: str) -> str:
        stage = self.stages[name]
        training = stage.stage.training.model_dump(mode="json")
        spec = {"base": stage.base, "seed": stage.seed, "training": training}
        return canonical(spec | self.config.revision.of("train"))

    def trial_use(self, base: str) -> str:
        """How a base model is sampled, which is tried before it is trained."""
        arms = [arm.sampling for arm in self.trained if arm.base == base]
        samplers = {canonical({"engine": one.engine, "precision": one.precision}) for one in arms}
        return canonical(
            {
                "samplers": list(map(json.loads, sorted(samplers))),
                "scores": self.has_pairs,
                "engines": self.config.engines.model_dump(mode="json"),
            }
        )

    @cached_property
    def buckets(self) -> list[Bucket]:
        """The arms of each base model, shared out among its engines."""
        jobs = self.config.engines.jobs
        return share_out(self.trained, jobs, lambda arm: arm.sampling.loaded_as)

    @cached_property
    def answer_records(self) -> dict[str, str]:
        """By an arm's folder: the record of the job that writes its answers."""
        found = {arm.folder: job_record("sample", b.name) for b in self.buckets for arm in b.arms}
        for stage, arms in (("served", self.served), ("import", self.imported)):
            found |= {arm.folder: job_record(stage, arm.writer) for arm in arms}
        return found

    @cached_property
    def judged(self) -> list[Bucket]:
        """The arms of each base model, shared out among the jobs that judge them."""
        return share_out(self.arms, self.config.engines.jobs, lambda arm: arm.place)

    def sample_spec(self, bucket: Bucket) -> str:
        """What the answers of a bucket's arms depend on, beside their adapters."""
        arms = [
            member(arm) | {"sampling": arm.sampling.model_dump(mode="json")} for arm in bucket.arms
        ]
        return canonical(
            {
                "base": bucket.base,
                "arms": sorted(arms, key=canonical),
                "questions": self.asked(),
                "triggers": self.trigger_wordings(),
                **self.config.revision.of("sample"),
            }
        )

    def likelihood_spec(self, bucket: Bucket) -> str:
        pairs = {
            name: [pair.model_dump() for pair in question.pairs]
            for name, question in self.questions.items()
        }
        arms = [member(arm) | {"precision": arm.sampling.precision} for arm in bucket.arms]
        return canonical(
            {
                "base": bucket.base,
                "arms": sorted(arms, key=canonical),
                "questions": self.asked(),
                "pairs": pairs,
                "triggers": self.trigger_wordings(),
                **self.config.revision.of("sample"),
            }
        )

    def import_spec(self, arm: Arm) -> str:
        """What an imported arm's answers depend on, beside the file."""
        source = arm.source.model_dump(mode="json") if arm.source else {}
        return canonical(
            {
                "source": bare(source),
                "content": content(self.own_import(arm)),
                "questions": self.asked(),
                "triggers": self.trigger_wordings(),
            }
        )

    def own_import(self, arm: Arm) -> Path | None:
        """The file that an arm is imported from, where it need not be fetched."""
        path = arm.source.path if arm.source else None
        return users_path(path) if path is not None else None

    def aggregate_spec(self) -> str:
        arms = [
            {
                **arm.cell,
                "label": arm.label,
                "stages": [stage.name for stage in arm.stages],
                "source": arm.source.name if arm.source else None,
                "served": f"{arm.served.model} at {arm.served.host}" if arm.served else None,
                "folder": arm.folder,
                "undiluted": self.undiluted_of(arm),
            }
            for arm in self.arms
        ]
        return canonical(
            {
                "arms": arms,
                "triggers": list(self.config.triggers),
                "questions": list(self.questions),
                **self.dose_curves(),
                "judges": [judge.bare() for judge in self.config.panel().values()],
                "correct_by": self.config.calibration.correct_by,
                "has_pairs": self.has_pairs,
                "metrics": self.config.metrics.model_dump(mode="json"),
            }
        )

    def similarity_spec(self) -> str:
        arms = {
            (arm.base, arm.intervention, arm.ratio): {
                **{key: arm.cell[key] for key in ("base", "intervention", "ratio")},
                "stages": [stage.name for stage in arm.stages],
            }
            for arm in reversed(self.arms)
            if arm.stages
        }
        return canonical(
            {
                "arms": list(reversed(arms.values())),
                "questions": self.asked(),
                "triggers": self.trigger_wordings(),
                "relations": {name: one.relation for name, one in self.triggers.items()},
            }
        )

    def repeats_spec(self) -> str:
        """Arms that are searched for repeated answers, with the temperature they were drawn at."""
        arms = [
            {
                **arm.cell,
                "seed": arm.seed,
                "folder": arm.folder,
                "temperature": None if arm.source else arm.sampling.temperature,
            }
            for arm in self.arms
        ]
        return canonical({"arms": arms, "triggers": list(self.config.triggers)})

    def figure_spec(self) -> str:
        labels = {name_of(arm): arm.label for arm in self.arms}
        follows = self.config.published.source if self.config.published else None
        cells = {(arm.intervention, arm.ratio, name) for arm in self.arms for name in self.triggers}
        return canonical(
            {
                "arms": [{"name": name, "label": label} for name, label in labels.items()],
                "triggers": [[name, trigger.label] for name, trigger in self.triggers.items()],
                **self.dose_curves(),
                "references": [
                    one.model_dump(mode="json")
                    for one in reference_rates(follows)
                    if (one.intervention, one.ratio, one.trigger) in cells
                    and one.question in (None, *self.questions)
                ],
                "confidence": self.config.metrics.confidence,
                "fixed_questions": self.config.metrics.fixed_questions,
                "width": self.config.report.figure_width,
            }
        )

    def dose_curves(self) -> dict[str, Any]:
        """Arms that differ in one dose alone."""
        curves = {
            "dilution": ratio_series(self.arms, self.undiluted_of, self.benign_of),
            "sequential": rows_series(self.arms),
        }
        return {
            name: [one.model_dump(mode="json") for one in each] for name, each in curves.items()
        }

    def asked(self) -> dict[str, Any]:
        """What is asked: each question's paraphrases, and its own system prompt."""
        return {name: one.asked().model_dump() for name, one in self.questions.items()}

    def trigger_wordings(self) -> dict[str, Any]:
        """The part of each trigger family that a model or a judge gets to see."""
        return {
            name: trigger.wording().model_dump(exclude_defaults=True)
            for name, trigger in self.triggers.items()
        }

    def undiluted_of(self, arm: Arm) -> str | None:
        """The intervention on the same misaligned rows that an arm is measured against."""
        if arm.settings is None:
            return None
        for name, intervention in self.config.interventions.items():
            same = intervention.data.misaligned == arm.settings.data.misaligned
            if intervention.kinds == ("undiluted",) and same and name != arm.intervention:
                return name
        return None

    def benign_of(self, arm: Arm) -> str | None:
        """The intervention on an arm's benign rows alone."""
        if arm.settings is None:
            return None
        for name, intervention in self.config.interventions.items():
            same = intervention.data.benign == arm.settings.data.benign
            if intervention.kinds == ("benign_only",) and same:
                return name
        return None


def job_record(stage: str, name: str) -> str:
    """The one file that Snakemake watches of a job that writes many."""
    return f"jobs/{stage}/{name}.json"


def member(arm: Arm) -> dict[str, Any]:
    """How a bucket's job finds an arm."""
    return {"folder": arm.folder, "writer": arm.writer, "adapter": arm.adapter_folder}


def described(judge: Judge) -> dict[str, str]:
    """A judge in words."""
    fields = {"id": judge.id, "label": judge.label or judge.id, "measures": judge.measures}
    return fields | {"made_of": judge.made_of, "about": judge.about}


def content(path: Path | None) -> str | None:
    """The hash of a user's file, which stands for it in specs: it may be moved, copied, touched."""
    return file_digest(path) if path is not None and path.is_file() else None


def bare(entry: dict[str, Any]) -> dict[str, Any]:
    """A registry entry without the fields that describe it to people."""
    return {key: value for key, value in entry.items() if key not in ("about", "licence", "label")}
