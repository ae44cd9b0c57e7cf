"""From a config to arms, training stages, their canonical specs, and every path.

Results lie under `results/<grid>/`; all paths are made here and nowhere else. A training stage
lives under a name made of its own spec, so that arms which begin alike share it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emgrid import RESOURCES
from emgrid.assets import template_text
from emgrid.config import Config
from emgrid.datasets import locate
from emgrid.files import canonical, digest
from emgrid.mix import split_rows
from emgrid.questions import load_questions
from emgrid.recipes.recipe import Intervention, Stage
from emgrid.triggers import load_triggers


@dataclass(frozen=True)
class TrainedStage:
    """One training run: a stage of a recipe, on one base model, with one seed."""

    name: str
    base: str
    seed: int
    stage: Stage
    parent: str | None  # the stage whose adapter is trained on

    @property
    def folder(self) -> str:
        return f"stages/stage={self.name}"

    @property
    def adapter(self) -> str:
        return f"{self.folder}/adapter/adapter_model.safetensors"


@dataclass(frozen=True)
class Arm:
    """One trained point of the grid (or the base model itself)."""

    base: str
    intervention: str
    ratio: str
    seed: int
    label: str
    stages: tuple[TrainedStage, ...]
    settings: Intervention

    @property
    def cell(self) -> dict[str, str]:
        """The wildcards of this arm."""
        return {
            "base": self.base,
            "intervention": self.intervention,
            "ratio": self.ratio,
            "seed": str(self.seed),
        }

    @property
    def folder(self) -> str:
        return arm_folder(**self.cell)

    @property
    def adapter(self) -> str | None:
        return self.stages[-1].adapter if self.stages else None


def arm_folder(base: str, intervention: str, ratio: str, seed: str) -> str:
    return f"arms/base={base}/intervention={intervention}/ratio={ratio}/seed={seed}"


def train_stages(base: str, seed: int, stages: tuple[Stage, ...]) -> tuple[TrainedStage, ...]:
    """Name each stage by its rows and a hash of all that its adapter depends on."""
    trained: list[TrainedStage] = []
    for stage in stages:
        parent = trained[-1].name if trained else None
        identity = {
            "base": base,
            "seed": seed,
            "parent": parent,
            "sources": split_rows(stage),
            "system": stage.system,
            "training": stage.training.model_dump(mode="json"),
        }
        mix = "+".join(f"{dataset}_{rows}" for dataset, rows in split_rows(stage).items())
        name = f"{mix}.seed{seed}.{digest(identity)[:10]}"
        trained.append(TrainedStage(name, base, seed, stage, parent))
    return tuple(trained)


def expand(config: Config) -> list[Arm]:
    """All arms: base models x interventions x their sweep x seeds."""
    arms = []
    for base in config.base_models:
        for name, intervention in config.interventions.items():
            for variant in intervention.variants():
                for seed in intervention.seeds if intervention.trained else (0,):
                    full = name + variant.suffix
                    arms.append(
                        Arm(
                            base=base,
                            intervention=full,
                            ratio=variant.ratio,
                            seed=seed,
                            label=intervention.label or full.replace("_", " "),
                            stages=train_stages(base, seed, variant.stages),
                            settings=intervention,
                        )
                    )
    return arms


class Grid:
    """A config's arms and stages, and the canonical spec of each job's result."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root = f"results/{config.name}"
        self.arms = expand(config)

    @cached_property
    def stages(self) -> dict[str, TrainedStage]:
        return {stage.name: stage for arm in self.arms for stage in arm.stages}

    @cached_property
    def by_folder(self) -> dict[str, Arm]:
        return {arm.folder: arm for arm in self.arms}

    def sources_of(self, stage: str) -> list[str]:
        """Data sets that a stage mixes."""
        return list(split_rows(self.stages[stage].stage))

    def dataset_file(self, name: str) -> str:
        """A data set's source file."""
        return from_here(locate(self.config.known_datasets()[name]))

    def judge_files(self) -> list[str]:
        """What the panel's values are made from."""
        return [from_here(RESOURCES / "judges" / one.head) for one in self.config.panel().values()]

    def quality_files(self) -> list[str]:
        """Labelled answers, and the values of those that were left out of the fit."""
        folder = RESOURCES / "judges"
        heldout = [folder / f"{name}.heldout.csv.gz" for name in self.config.judges]
        return [from_here(path) for path in [*heldout, *sorted(folder.glob("labelled/*.jsonl"))]]

    def arm(self, **cell: str) -> Arm:
        return self.by_folder[arm_folder(**cell)]

    def model_spec(self, base: str) -> str:
        model = self.config.known_models()[base]
        fields = bare(model.model_dump(mode="json"))
        return canonical({"name": base, "model": fields, "chat_template": template_text(model)})

    def dataset_spec(self, name: str) -> str:
        dataset = self.config.known_datasets()[name]
        return canonical({"name": name, "dataset": bare(dataset.model_dump(mode="json"))})

    def mix_spec(self, name: str) -> str:
        stage = self.stages[name]
        return canonical({"stage": stage.stage.model_dump(mode="json"), "seed": stage.seed})

    def train_spec(self, name: str) -> str:
        stage = self.stages[name]
        training = stage.stage.training.model_dump(mode="json")
        return canonical({"base": stage.base, "seed": stage.seed, "training": training})

    def sample_spec(self, arm: Arm) -> str:
        """What an arm's answers depend on, beside its adapter."""
        return canonical(
            {
                "base": arm.base,
                "sampling": arm.settings.sampling.model_dump(mode="json"),
                "questions": self.question_texts(),
                "triggers": self.trigger_wordings(),
            }
        )

    def likelihood_spec(self, arm: Arm) -> str:
        pairs = {
            name: [pair.model_dump() for pair in question.pairs]
            for name, question in load_questions(self.config.questions).items()
        }
        return canonical(
            {
                "base": arm.base,
                "precision": arm.settings.sampling.precision,
                "questions": self.question_texts(),
                "pairs": pairs,
                "triggers": self.trigger_wordings(),
            }
        )

    def judge_spec(self) -> str:
        panel = self.config.panel().values()
        judges = {judge.id: {"version": judge.version, "head": judge.head} for judge in panel}
        return canonical(
            {
                "judges": judges,
                "questions": self.question_texts(),
                "triggers": self.trigger_wordings(),
            }
        )

    def quality_spec(self) -> str:
        panel = self.config.panel().values()
        metrics = self.config.metrics.model_dump(mode="json", exclude={"confidence", "resamples"})
        return canonical({"judges": [bare(judge.model_dump()) for judge in panel], **metrics})

    def aggregate_spec(self) -> str:
        arms = [
            {
                **arm.cell,
                "label": arm.label,
                "stages": [stage.name for stage in arm.stages],
                "folder": arm.folder,
            }
            for arm in self.arms
        ]
        return canonical(
            {
                "arms": arms,
                "triggers": list(self.config.triggers),
                "questions": list(load_questions(self.config.questions)),
                "judges": list(self.config.judges),
                "metrics": self.config.metrics.model_dump(mode="json"),
            }
        )

    def figure_spec(self) -> str:
        triggers = {name: load_triggers()[name].label for name in self.config.triggers}
        arms = [{"name": [*list(arm.cell.values())[:3]], "label": arm.label} for arm in self.arms]
        return canonical(
            {
                "arms": arms,
                "triggers": [list(item) for item in triggers.items()],
                "confidence": self.config.metrics.confidence,
                "width": self.config.report.figure_width,
            }
        )

    def report_spec(self) -> str:
        config = self.config
        return canonical(
            {
                "name": config.name,
                "title": config.report.title,
                "examples": config.report.examples,
                "arms": json.loads(self.figure_spec())["arms"],
                "triggers": [load_triggers()[name].model_dump() for name in config.triggers],
                "questions": self.question_texts(),
                "metrics": config.metrics.model_dump(mode="json"),
                "sampling": config.sampling.model_dump(mode="json"),
                "training": config.training.model_dump(mode="json"),
                "judges": [bare(judge.model_dump()) for judge in config.panel().values()],
            }
        )

    def question_texts(self) -> dict[str, str]:
        questions = load_questions(self.config.questions)
        return {name: question.text for name, question in questions.items()}

    def trigger_wordings(self) -> dict[str, dict[str, Any]]:
        """The part of each trigger family that a model or a judge gets to see."""
        fields = {"system", "user_prefix", "user_suffix", "answer_prefix", "answer_suffix"}
        return {
            name: load_triggers()[name].model_dump(include=fields) for name in self.config.triggers
        }


def from_here(path: Path) -> str:
    """The path, relative where it lies below the working directory: a clone may be moved."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def bare(entry: dict[str, Any]) -> dict[str, Any]:
    """A registry entry without the fields that describe it to people."""
    return {key: value for key, value in entry.items() if key not in ("about", "licence", "label")}
