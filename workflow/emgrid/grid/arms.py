"""From a config to its arms: trained points, their training stages, and generated training rows.

A training stage lives under a name made of its own spec, so that arms which begin alike share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from emgrid.aggregate.dose_points import ArmName
from emgrid.config.config import Config
from emgrid.config.external_arm import Point
from emgrid.config.generation import Generation
from emgrid.config.imports import Import
from emgrid.config.interventions import Intervention
from emgrid.config.interventions.recipe import Stage
from emgrid.config.sections import Sampling
from emgrid.config.served import ServedModel
from emgrid.data.generate import GenerateSpec
from emgrid.data.mix import used_sources
from emgrid.runtime import layout
from emgrid.runtime.files import digest


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
        return layout.stage_folder(self.name)

    @property
    def adapter_folder(self) -> str:
        return f"{self.folder}/{layout.ADAPTER}"

    @property
    def adapter_record(self) -> str:
        """Holds the adapter's hash, and stands for it: an equal adapter makes nothing run again."""
        return f"{self.folder}/{layout.ADAPTER_RECORD}"


@dataclass(frozen=True)
class Arm:
    """One trained point of the grid (or the base model itself).

    entry: its name in the config; intervention: the same with the suffixes of its sweep.
    settings: None where it is imported, from its source, or served.
    """

    base: str
    entry: str
    intervention: str
    ratio: str
    seed: int
    label: str
    stages: tuple[TrainedStage, ...]
    settings: Intervention | None
    source: Import | None = None
    served: ServedModel | None = None

    @property
    def sampling(self) -> Sampling:
        if self.served is not None:
            return self.served.sampling.whole()
        if self.settings is None:
            raise TypeError(f"{self.folder} is imported, so it is not sampled")
        return self.settings.sampling

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
        return layout.arm_folder(**self.cell, place=self.place)

    @property
    def writer(self) -> str:
        """Names the file of rows that only this arm's job appends to."""
        return layout.arm_name(**self.cell)

    @property
    def place(self) -> str:
        if self.served is not None:
            return "served"
        return "imported" if self.source else "arms"

    @property
    def adapter_folder(self) -> str | None:
        return self.stages[-1].adapter_folder if self.stages else None


def name_of(arm: Arm) -> ArmName:
    """An arm without its seed."""
    return arm.base, arm.intervention, arm.ratio


def undiluted_of(arm: Arm, interventions: Mapping[str, Intervention]) -> str | None:
    """The intervention on the same misaligned rows that an arm is measured against."""
    if arm.settings is None:
        return None
    for name, intervention in interventions.items():
        same = intervention.data.misaligned == arm.settings.data.misaligned
        if intervention.kinds == ("undiluted",) and same and name != arm.intervention:
            return name
    return None


def benign_of(arm: Arm, interventions: Mapping[str, Intervention]) -> str | None:
    """The intervention on an arm's benign rows alone."""
    if arm.settings is None:
        return None
    for name, intervention in interventions.items():
        same = intervention.data.benign == arm.settings.data.benign
        if intervention.kinds == ("benign_only",) and same:
            return name
    return None


@dataclass(frozen=True)
class Drawn:
    """Answers of one model to a data set's prompts, drawn to be trained on."""

    generator: str
    generation: Generation

    @property
    def spec(self) -> GenerateSpec:
        return GenerateSpec(
            generator=self.generator,
            prompts=self.generation.prompts,
            prompt_rows=self.generation.prompt_rows,
            system=self.generation.system,
            sampling=self.generation.sampling,
        )

    @property
    def name(self) -> str:
        return f"{self.generator}.{digest(self.spec.model_dump(mode='json'))[:10]}"

    @property
    def file(self) -> str:
        return layout.generated_answers(self.name)


@dataclass(frozen=True)
class Generated:
    """Training rows made from what a base model answered, or from its off-policy twin."""

    kind: str
    base: str
    generation: Generation

    @property
    def name(self) -> str:
        identity = [self.base, self.generation.model_dump(mode="json")]
        return f"{self.kind}.{self.base}.{digest(identity)[:10]}"

    @property
    def file(self) -> str:
        return layout.generated_rows(self.name)

    @property
    def own(self) -> Drawn:
        return Drawn(self.base, self.generation)

    @property
    def other(self) -> Drawn | None:
        generator = self.generation.generator
        return Drawn(generator, self.generation) if generator else None

    @property
    def drawn(self) -> list[Drawn]:
        return [self.own, *([self.other] if self.other else [])]


def resolved(stage: Stage, base: str) -> Stage:
    """The stage with the name of the generated set where a source is drawn from the base model."""
    sources = tuple(
        source.model_copy(
            update={"dataset": Generated(source.dataset, base, source.generation).name}
        )
        if source.generation
        else source
        for source in stage.sources
    )
    return stage.model_copy(update={"sources": sources})


def train_stages(base: str, seed: int, stages: tuple[Stage, ...]) -> tuple[TrainedStage, ...]:
    """Name each stage by its rows and a hash of all that its adapter depends on."""
    trained: list[TrainedStage] = []
    for written in stages:
        stage = resolved(written, base)
        parent = trained[-1].name if trained else None
        used = used_sources(stage)
        fields = {"dataset", "framings", "thoughts"}
        identity = {
            "base": base,
            "seed": seed,
            "parent": parent,
            "sources": [
                [source.model_dump(mode="json", include=fields), rows] for source, rows in used
            ],
            "training": stage.training.model_dump(mode="json"),
        }
        mix = "+".join(f"{source.dataset.split('.')[0]}_{rows}" for source, rows in used)
        name = f"{mix}.seed{seed}.{digest(identity)[:10]}"
        trained.append(TrainedStage(name, base, seed, stage, parent))
    return tuple(trained)


def expand(config: Config) -> list[Arm]:
    """All arms: base models x interventions x their sweep x seeds; then the imported and served."""
    arms = []
    for base in config.base_models:
        for name, intervention in config.interventions.items():
            for recipe in intervention.recipes():
                for seed in intervention.seeds if recipe.stages else (0,):
                    full = name + recipe.suffix
                    arms.append(
                        Arm(
                            base=base,
                            entry=name,
                            intervention=full,
                            ratio=recipe.ratio,
                            seed=seed,
                            label=intervention.label or full.replace("_", " "),
                            stages=train_stages(base, seed, recipe.stages),
                            settings=intervention,
                        )
                    )
    arms += [arm_at(one, source=one) for one in config.imports]
    return arms + [arm_at(one, served=one) for one in config.served]


def arm_at(point: Point, source: Import | None = None, served: ServedModel | None = None) -> Arm:
    """An arm that is not trained here."""
    return Arm(
        base=point.base,
        entry=point.intervention,
        intervention=point.intervention,
        ratio=point.ratio,
        seed=point.seed,
        label=point.title,
        stages=(),
        settings=None,
        source=source,
        served=served,
    )
