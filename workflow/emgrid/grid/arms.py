"""From a config to its arms and their training runs.

A training run is named by its own settings, so that arms which begin alike share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emgrid.aggregate.dose_points import ArmName
from emgrid.config.adapters import Adapter
from emgrid.config.config import Config
from emgrid.config.external_arm import ExternalArm
from emgrid.config.imports import Import
from emgrid.config.interventions import Intervention
from emgrid.config.interventions.recipe import Mixture
from emgrid.config.sections import Sampling
from emgrid.config.served import ServedModel
from emgrid.data.mix import used_sources
from emgrid.grid.generated import resolved
from emgrid.runtime import layout
from emgrid.runtime.files import digest


@dataclass(frozen=True)
class ImportedAdapter:
    """An adapter that was trained elsewhere. Its folder holds what that of a training run holds."""

    entry: Adapter

    @property
    def name(self) -> str:
        return self.entry.key

    @property
    def folder(self) -> str:
        return layout.imported_adapter(self.name)

    @property
    def adapter_folder(self) -> str:
        return f"{self.folder}/{layout.ADAPTER}"

    @property
    def adapter_record(self) -> str:
        return f"{self.folder}/{layout.ADAPTER_RECORD}"


@dataclass(frozen=True)
class TrainingRun:
    """One training stage of an arm, on one base model, with one seed.

    parent: the run, or the adapter of `adapters`, that is trained further. whole: the run that this
    one is the beginning of; its training saves this one's adapter on its way. under: the run whose
    adapter is frozen under this one's. choosing: runs whose models choose rows of this one.
    """

    name: str
    base: str
    seed: int
    mixture: Mixture
    parent: str | None
    whole: "TrainingRun | None" = None
    under: "TrainingRun | None" = None
    choosing: tuple["TrainingRun", ...] = ()

    @property
    def needs(self) -> tuple["TrainingRun", ...]:
        """Runs that this one needs, and that are no stages of its arm."""
        return tuple(run for run in (self.whole, self.under, *self.choosing) if run)

    @property
    def trained(self) -> "tuple[TrainingRun, ...]":
        """The trainings that make its adapter, besides the stage before: the whole one in its
        place if it is the beginning of another, and those of the models that it needs."""
        needed = tuple(one for run in self.needs for one in run.trained)
        return needed if self.whole else (*needed, self)

    @property
    def kl_rows(self) -> str | None:
        """The rows on which the training keeps the model to the base model."""
        kl = self.mixture.training.kl
        return layout.dataset_file(kl.prompts) if kl else None

    @property
    def folder(self) -> str:
        return layout.stage_folder(self.name)

    @property
    def adapter_folder(self) -> str:
        return f"{self.folder}/{layout.ADAPTER}"

    @property
    def adapter_record(self) -> str:
        """Holds the adapter's hash. Jobs depend on it, so an equal adapter runs nothing again."""
        return f"{self.folder}/{layout.ADAPTER_RECORD}"


@dataclass(frozen=True)
class Arm:
    """One model of the grid: a base model as it is or trained, imported answers, or a served model.

    entry: the name of its intervention in the config. intervention: the same, with the suffixes of
    its sweep. settings: None of an arm that is imported (it has a source) or served, or that is an
    entry of `adapters`, its adapter. start: the adapter trained elsewhere that it begins with.
    """

    base: str
    entry: str
    intervention: str
    ratio: str
    seed: int
    label: str
    stages: tuple[TrainingRun, ...]
    settings: Intervention | None
    source: Import | None = None
    served: ServedModel | None = None
    adapter: Adapter | None = None
    start: ImportedAdapter | None = None

    @property
    def runs_here(self) -> bool:
        """Whether its model runs here."""
        return self.settings is not None or self.adapter is not None

    @property
    def sampling(self) -> Sampling:
        if self.served is not None:
            return self.served.sampling.whole()
        if self.adapter is not None:
            return self.adapter.sampling
        if self.settings is None:
            raise TypeError(f"{self.folder} is imported, so it is not sampled")
        return self.settings.sampling

    @property
    def cell(self) -> dict[str, str]:
        """The wildcards of this arm, which name it."""
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
        """The arm's name in one word; names the file of stored rows that its job appends to."""
        return layout.arm_name(**self.cell)

    @property
    def place(self) -> str:
        if self.served is not None:
            return "served"
        return "imported" if self.source else "arms"

    @property
    def last(self) -> TrainingRun | ImportedAdapter | None:
        """What makes its adapter; None of a model as it is."""
        return self.stages[-1] if self.stages else self.start

    @property
    def adapter_folder(self) -> str | None:
        return self.last.adapter_folder if self.last else None


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


def training_runs(
    base: str, seed: int, mixtures: tuple[Mixture, ...], start: ImportedAdapter | None = None
) -> tuple[TrainingRun, ...]:
    """The training runs of an arm. A run's name holds its rows and a hash of all that its adapter
    depends on, so that arms share the runs in which they begin alike. start: the adapter that the
    first run trains further."""
    runs: list[TrainingRun] = []
    first = start.name if start else None
    for written in mixtures:
        parent = runs[-1].name if runs else first
        runs.append(training_run(base, seed, written, parent))
    return tuple(runs)


def training_run(base: str, seed: int, written: Mixture, parent: str | None = None) -> TrainingRun:
    """A run and those that it needs. parent: what it trains further, by name."""
    under = training_run(base, seed, written.under) if written.under else None
    choosing = {
        source.selection.dataset: training_run(base, seed, source.selection.misaligned)
        for source in written.sources
        if source.selection
    }
    stages = {dataset: run.name for dataset, run in choosing.items()}
    mixture = resolved(written, base, seed, parent, stages)
    used = used_sources(mixture)
    fields = {"dataset", "framings", "thoughts"}
    identity = {
        "base": base,
        "seed": seed,
        "parent": parent,
        "sources": [
            [source.model_dump(mode="json", include=fields), rows] for source, rows in used
        ],
        "training": mixture.training.plain(),
    } | ({"under": under.name} if under else {})
    mix = "+".join(f"{source.dataset.split('.')[0]}_{rows}" for source, rows in used)
    name = f"{mix}.seed{seed}.{digest(identity)[:10]}"
    whole = mixture.model_copy(update={"until": "1"})
    run = TrainingRun(
        name, base, seed, whole, parent, under=under, choosing=tuple(choosing.values())
    )
    return stopped(run, mixture.until)


def stopped(run: TrainingRun, until: str) -> TrainingRun:
    """The run that ends after a share of another one's steps."""
    if until == "1":
        return run
    mixture = run.mixture.model_copy(update={"until": until})
    return replace(run, name=f"{run.name}.until{until}", mixture=mixture, whole=run)


def expand(config: Config) -> list[Arm]:
    """All arms: base models x interventions x their sweep x seeds; then the imported and served."""
    arms = []
    starts = {entry.cell: ImportedAdapter(entry) for entry in config.adapters if not entry.is_base}
    for base in config.base_models:
        for name, intervention in config.interventions.items():
            for recipe in intervention.recipes():
                for seed in intervention.seeds if recipe.stages else (0,):
                    full = name + recipe.suffix
                    start = starts[base, *recipe.adapter, str(seed)] if recipe.adapter else None
                    arms.append(
                        Arm(
                            base=base,
                            entry=name,
                            intervention=full,
                            ratio=recipe.ratio,
                            seed=seed,
                            label=intervention.label or full.replace("_", " "),
                            stages=training_runs(base, seed, recipe.stages, start),
                            settings=intervention,
                            start=start,
                        )
                    )
    arms += [
        external_arm(entry, adapter=entry, start=starts.get(entry.cell))
        for entry in config.adapters
    ]
    arms += [external_arm(source, source=source) for source in config.imports]
    return arms + [external_arm(model, served=model) for model in config.served]


def external_arm(
    point: ExternalArm,
    source: Import | None = None,
    served: ServedModel | None = None,
    adapter: Adapter | None = None,
    start: ImportedAdapter | None = None,
) -> Arm:
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
        adapter=adapter,
        start=start,
    )
