"""The data sets that base models generate to be trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

from emgrid.config.generation import Generation
from emgrid.config.interventions.recipe import Mixture, Selection, Source
from emgrid.data.generate import GenerateSpec
from emgrid.data.mix import source_rows
from emgrid.runtime import layout
from emgrid.runtime.files import digest


@dataclass(frozen=True)
class GeneratedAnswers:
    """Answers of one model to a data set's prompts, which are made into training rows. stage: the
    training whose adapter the generator has; None for a base model as it is."""

    generator: str
    generation: Generation
    stage: str | None = None

    @property
    def spec(self) -> GenerateSpec:
        trained = {"stage": self.stage} if self.stage else {}
        return GenerateSpec(
            **trained,
            generator=self.generator,
            prompts=self.generation.prompts,
            prompt_rows=self.generation.prompt_rows,
            system=self.generation.system,
            sampling=self.generation.sampling,
        )

    @property
    def name(self) -> str:
        return f"{self.generator}.{digest(self.spec.plain())[:10]}"

    @property
    def file(self) -> str:
        return layout.generated_answers(self.name)


@dataclass(frozen=True)
class GeneratedDataset:
    """Training rows made of a base model's own answers, or of those of an off-policy generator.
    stage: the training whose adapter the base model has when it answers."""

    kind: str
    base: str
    generation: Generation
    stage: str | None = None

    @property
    def name(self) -> str:
        identity = [self.base, self.generation.plain(), *([self.stage] if self.stage else [])]
        return f"{self.kind}.{self.base}.{digest(identity)[:10]}"

    @property
    def file(self) -> str:
        return layout.generated_rows(self.name)

    @property
    def own_answers(self) -> GeneratedAnswers:
        return GeneratedAnswers(self.base, self.generation, self.stage)

    @property
    def other_answers(self) -> GeneratedAnswers | None:
        generator = self.generation.generator
        return GeneratedAnswers(generator, self.generation) if generator else None

    @property
    def drawn(self) -> list[GeneratedAnswers]:
        return [self.own_answers, *([self.other_answers] if self.other_answers else [])]


@dataclass(frozen=True)
class SelectedRows:
    """Rows of a data set that are chosen by their likelihood. rows: their number. stage: the
    training of the misaligned model."""

    selection: Selection
    base: str
    seed: int
    rows: int
    stage: str

    @property
    def name(self) -> str:
        chosen = self.selection.model_dump(mode="json", exclude={"misaligned"})
        identity = [self.base, self.seed, self.rows, self.stage, chosen]
        return f"{self.selection.dataset}.gap.{digest(identity)[:10]}"

    @property
    def file(self) -> str:
        return layout.selected_rows(self.name)


def generated_of(source: Source, base: str, parent: str | None) -> GeneratedDataset | None:
    """The data set that is generated for a source, if any. parent: the training before it."""
    if source.generation is None:
        return None
    stage = parent if source.generation.trained else None
    return GeneratedDataset(source.dataset.split(".")[0], base, source.generation, stage)


def resolved(
    mixture: Mixture, base: str, seed: int, parent: str | None, stages: Mapping[str, str]
) -> Mixture:
    """The mixture with the names of the data sets that are generated or chosen by a model.

    stages: by a data set that rows are chosen from, the training of the misaligned model.
    """
    counts = source_rows(mixture)

    def renamed(source: Source, rows: int) -> Source:
        made: GeneratedDataset | SelectedRows | None = generated_of(source, base, parent)
        if source.selection is not None:
            stage = stages[source.selection.dataset]
            made = SelectedRows(source.selection, base, seed, rows, stage)
        return source.model_copy(update={"dataset": made.name}) if made else source

    sources = tuple(map(renamed, mixture.sources, counts))
    return mixture.model_copy(update={"sources": sources})
