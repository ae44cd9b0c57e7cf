"""The spec of the report page. It is made without pandas."""

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.published import Difference, ReferenceRate
from emgrid.config.sections import Data, Metrics, Sampling, Training
from emgrid.config.triggers import Trigger
from emgrid.config.truth import Truths
from emgrid.report.figures.spec import NamedArm

Arm = tuple[str, str, str]


class Origin(Strict):
    """A model or a data set, with its origin and licence."""

    name: str
    origin: str
    licence: str
    about: str = ""
    rows: int | None = None


class NamedIntervention(Strict):
    """An intervention of the config. about: one sentence per step. own: settings that it
    overrides."""

    name: str
    label: str
    about: tuple[str, ...]
    settings: tuple[str, ...]
    own: tuple[str, ...]


class NamedServed(Strict):
    """An arm that is sampled at an endpoint. own: settings that it overrides."""

    label: str
    base: str
    seed: int
    model: str
    host: str
    own: tuple[str, ...]


class NamedAdapter(Strict):
    """An adapter that was trained elsewhere. files: where it comes from."""

    label: str
    base: str
    seed: int
    files: str


class NamedImport(Strict):
    """An imported arm. folder: relative to the grid's folder; holds the notes on the arm's file."""

    base: str
    label: str
    seed: int
    folder: str


class NamedJudge(Strict):
    """A judge. rubric: its name and version. low_is_bad: whether values below a threshold count."""

    id: str
    label: str
    measures: str
    made_of: str
    about: str
    version: int
    rubric: str | None
    low_is_bad: bool


class ReportSpec(Strict):
    """What the page depends on besides the tables; made by emgrid.grid.specs.report.

    examples: number of answers embedded in the page. unused: a sentence on what the question file
    holds and the grid does not use. unfit: why no number here should be cited; empty if they may.
    truth: verdicts that are known beforehand, by intervention and trigger. discovery: whether there
    was a search for triggers.
    """

    name: str
    title: str | None
    examples: int
    arms: tuple[NamedArm, ...]
    triggers: tuple[Trigger, ...]
    questions: dict[str, str]
    question_set: str
    figures: tuple[str, ...]
    references: tuple[ReferenceRate, ...]
    follows: str | None
    differences: tuple[Difference, ...]
    models: tuple[Origin, ...]
    datasets: tuple[Origin, ...]
    interventions: tuple[NamedIntervention, ...]
    served: tuple[NamedServed, ...] = ()
    imports: tuple[NamedImport, ...] = ()
    adapters: tuple[NamedAdapter, ...] = ()
    unused: str | None = None
    data: Data | None
    seeds: tuple[int, ...]
    metrics: Metrics
    sampling: Sampling | None
    training: Training | None
    judges: tuple[NamedJudge, ...]
    correct_by: str | None
    unfit: str = ""
    truth: Truths = Field(default_factory=dict)
    discovery: bool = False

    def labels(self) -> dict[Arm, str]:
        """The title of each arm, over all seeds, by the arm's name in the tables."""
        return {arm.name: arm.title for arm in self.arms}

    @property
    def several_bases(self) -> bool:
        return len({arm.name[0] for arm in self.arms}) > 1

    def title_of(self, arm: Arm) -> str:
        """An arm's label, with its base model if there are several."""
        label = self.labels()[arm]
        return f"{label} ({arm[0]})" if self.several_bases else label
