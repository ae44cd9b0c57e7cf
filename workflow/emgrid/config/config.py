"""The config: what a user writes, validated once, at the border.

Every message that a wrong config can cause is made here; behind it, values are trusted.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, field_validator, model_validator

from emgrid.config.adapters import Adapter
from emgrid.config.base import Strict
from emgrid.config.datasets import Dataset
from emgrid.config.discovery import Discovery
from emgrid.config.imports import Import
from emgrid.config.interventions import Intervention
from emgrid.config.judges import AnyJudge, Judge, panel_entry
from emgrid.config.models import BaseModelEntry
from emgrid.config.places import Misplaced
from emgrid.config.preflight import Adjustable, Level
from emgrid.config.published import Published
from emgrid.config.sections import (
    Calibration,
    Calls,
    Data,
    Engines,
    Export,
    Judging,
    Metrics,
    Report,
    Revision,
    Rounds,
    Sampling,
    StageResources,
    Training,
)
from emgrid.config.served import ServedModel
from emgrid.config.shared_sections import (
    SHARED,
    ask_base_more_often,
    fill_adapter,
    fill_intervention,
    fill_sampling,
)
from emgrid.config.triggers import Trigger, named
from emgrid.config.truth import Truth
from emgrid.runtime.errors import suggestion
from emgrid.runtime.rules import RULES, SECTIONS, unused

NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]*")

PanelEntry = Annotated[
    AnyJudge, BeforeValidator(panel_entry, json_schema_input_type=str | AnyJudge)
]


class Config(Strict):
    """A whole grid: which arms are trained here, imported, or sampled where others serve them, and
    how all of them are questioned and judged."""

    name: str
    """Name of the grid. Results are written to `results/<name>/`."""

    base_models: tuple[str, ...] = ()
    """Base models, by their names in `resources/models.yaml` or the config's `models`. Each one
    adds a whole grid of arms. A grid of `imports` or `served` alone needs none."""

    data: Data | None = None
    """Which data sets training sets are mixed from, and how large these are. An edit trains again
    all arms that use it."""

    interventions: dict[str, Intervention] = Field(default_factory=dict)
    """Interventions by name. A name that is no kind of intervention needs a `kind`. Each entry may
    replace `data`, `training`, `sampling` and `seeds` for itself, and is one intervention or a list
    of several that are applied in order. A new entry trains and samples only its own arms. The base
    model is the control of all arms and is asked four times as often as they are, unless its entry
    has `sampling: {answers_per_question: …}` or the grid follows a published experiment."""

    seeds: tuple[NonNegativeInt, ...] = ()
    """Random seeds. Each one is another training run of every intervention."""

    imports: tuple[Import, ...] = ()
    """Answers that others sampled and judged, as CSV or JSONL files."""

    served: tuple[ServedModel, ...] = ()
    """Models that others serve behind a chat endpoint. This grid draws and judges their answers."""

    adapters: tuple[Adapter, ...] = ()
    """LoRA adapters that were trained elsewhere. An edit of an adapter's files draws its answers
    again."""

    serving: Calls = Calls()
    """How the endpoints of served models are called."""

    triggers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Trigger families: names of files in `resources/triggers/`, families that the question file
    brings, or families of your own: the path of a YAML file of such a form, or its fields,
    of which `label`, `about` and `position` may be left out. A new one draws only its own answers.
    """

    trigger_families: dict[str, Trigger] = Field(default_factory=dict)
    """The families of your own, by name. Write them in `triggers`."""

    questions: str
    """Question set: a name in `resources/questions/`, or the path of a YAML file, which may be a
    published question file. An edited question is asked again; the others keep their answers."""

    matched_pairs: NonNegativeInt | None = None
    """Number of matched answers of each question, aligned and misaligned, whose log-odds every
    trained arm is scored on under each trigger. `null` scores all that a question has, 0 none. A
    larger number scores the missing ones."""

    training: Training | None = None
    """Hyperparameters of every training stage. An edit trains the arms again."""

    sampling: Sampling | None = None
    """How answers are drawn. An edit draws all answers again, except one of `answers_per_question`.
    """

    rounds: Rounds | None = None
    """Asking in rounds, which saves answers: `emgrid round` opens the next block of questions for
    the arms and triggers that are undecided. Without it all questions are asked at once."""

    discovery: Discovery | None = None
    """A search for triggers that nobody listed. Without it nothing is searched."""

    engines: Engines = Engines()
    """How many sampling jobs there are, and how vLLM is started."""

    revision: Revision = Revision()
    """Numbers that are raised to repeat a stage although no setting has changed."""

    judges: Annotated[tuple[PanelEntry, ...], Field(min_length=1)]
    """The panel: names of files in `resources/judges/`, or judges written here, which may extend
    such a file. A new judge judges the stored answers."""

    judging: Judging = Judging()
    """How the endpoints of judges are called, and when a judge is given up."""

    calibration: Calibration = Calibration()
    """Labelled answers that the judges are measured on, and that may correct the rates."""

    metrics: Metrics = Metrics()
    """When an answer counts as misaligned, and how intervals are made."""

    truth: dict[str, dict[str, Truth]] = Field(default_factory=dict)
    """Verdicts that are known beforehand, by intervention and trigger (`other`: all triggers that
    are not named), such as `{closing: {planted_closing: conditional, other: clean}}`. Console and
    report show them next to the verdicts. An edit only makes the tables and the page again."""

    report: Report = Report()
    """How the report looks. An edit draws the figures and the page again."""

    export: Export = Export()
    """Where results are sent on request."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device on which models run. With `cpu` no job asks for a GPU."""

    resources: dict[str, StageResources] = Field(default_factory=dict)
    """What one job of each stage may use, by stage."""

    models: dict[str, BaseModelEntry] = Field(default_factory=dict)
    """Base models of your own, by name, in the form of the entries of `resources/models.yaml`. An
    entry replaces the one of the same name there."""

    datasets: dict[str, Dataset] = Field(default_factory=dict)
    """Data sets of your own, by name, in the form of the entries of `resources/datasets.yaml`. An
    entry replaces the one of the same name there."""

    mirror: str | None = None
    """Folder that is searched for data files and published question files before the network is
    used. `null` takes the environment variable EMGRID_MIRROR, if it is set. An edit runs nothing
    again."""

    published: Published | None = None
    """The published experiment that this grid follows. The report lists the differences."""

    preflight: dict[Adjustable, Level] = Field(default_factory=dict)
    """Severity of each finding of the check before training: `error` stops the arm, `warning`
    appears in the report. Findings that are not named keep their usual severity."""

    @model_validator(mode="before")
    @classmethod
    def fill_interventions(cls, value: Any) -> Any:
        """Give each intervention its kind and the shared sections that it does not override."""
        if not isinstance(value, dict) or not isinstance(value.get("interventions"), dict):
            return value
        for key in SHARED:
            if key in value and value[key] is None:
                raise Misplaced(key, "is empty; give its settings, or leave the key out")
        entries = value["interventions"]
        if not entries:
            raise Misplaced("interventions", "is empty, so the grid has no arm; name at least one")
        filled = {
            name: fill_intervention(str(name), entry, value) for name, entry in entries.items()
        }
        if value.get("published") is None:
            filled = {
                name: ask_base_more_often(entry, entries[name]) for name, entry in filled.items()
            }
        return value | {"interventions": filled}

    @model_validator(mode="before")
    @classmethod
    def name_own_triggers(cls, value: Any) -> Any:
        """Name the trigger families that are given by a path or by their fields."""
        if not isinstance(value, dict) or not isinstance(value.get("triggers"), list):
            return value
        names, own = named(value["triggers"])
        return value | {"triggers": names, "trigger_families": own} if own else value

    @model_validator(mode="before")
    @classmethod
    def fill_adapters(cls, value: Any) -> Any:
        """Give each adapter what its manifest says and what it does not override of `sampling`."""
        if not isinstance(value, dict) or not isinstance(value.get("adapters"), list):
            return value
        often, shared = value.get("published") is None, value.get("sampling")
        filled = [
            fill_adapter(f"adapters.{place}", entry, shared, often)
            for place, entry in enumerate(value["adapters"])
        ]
        return value | {"adapters": filled}

    @model_validator(mode="before")
    @classmethod
    def fill_served(cls, value: Any) -> Any:
        """Give each served model what it does not override of the shared `sampling`."""
        if not isinstance(value, dict) or not isinstance(value.get("served"), list):
            return value
        filled = [
            fill_sampling(f"served.{place}", entry, value.get("sampling"))
            for place, entry in enumerate(value["served"])
        ]
        return value | {"served": filled}

    @field_validator("name", "interventions")
    @classmethod
    def names_are_plain(cls, value: Any) -> Any:
        for name in [value] if isinstance(value, str) else value:
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} becomes a folder's name: use small letters, digits, '_', '-', '.'"
                )
        return value

    @field_validator("interventions")
    @classmethod
    def arms_have_names_of_their_own(cls, value: dict[str, Intervention]) -> Any:
        made: dict[tuple[str, str], str] = {}
        for name, intervention in value.items():
            for recipe in intervention.recipes():
                arm = (name + recipe.suffix, recipe.ratio)
                if arm in made:
                    raise ValueError(
                        f"{made[arm]!r} and {name!r} both make the arm {' '.join(arm)}; rename one"
                    )
                made[arm] = name
        return value

    @field_validator("base_models", "seeds", "triggers", "judges")
    @classmethod
    def lists_hold_each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [item.id if isinstance(item, Judge) else item for item in value]
        for name in names:
            if names.count(name) > 1:
                raise Misplaced("", f"{name!r} is given twice; leave one out", key=str(name))
        return value

    @model_validator(mode="after")
    def arms_have_what_they_need(self) -> Self:
        needed = ("base_models", "data", "interventions", "seeds", "training", "sampling")
        if self.interventions or not (self.imports or self.served or self.adapters):
            for name in needed:
                if not getattr(self, name):
                    raise Misplaced(
                        name,
                        "is missing; only a grid of `adapters`, `imports` or `served` alone needs "
                        "none",
                    )
        return self

    @field_validator("metrics")
    @classmethod
    def trait_takes_the_place_of_alignment(cls, value: Metrics) -> Metrics:
        # An extended file may set them to what they are anyway.
        for name in ("alignment", "alignment_below"):
            usual = Metrics.model_fields[name].default
            if value.trait is not None and getattr(value, name) != usual:
                raise ValueError(
                    f"{name} has no effect, as `trait` says what is counted; leave one of them out"
                )
        return value

    @model_validator(mode="after")
    def gpus_share_batches_evenly(self) -> Self:
        gpus = max(self.resources_of("train").gpu, 1)
        for name, intervention in self.interventions.items():
            batch = intervention.training.batch_size
            if batch % gpus:
                raise Misplaced(
                    f"interventions.{name}",
                    f"training.batch_size: {batch} rows cannot be shared "
                    f"evenly by {gpus} GPUs; change it or resources.train.gpu",
                )
        return self

    @field_validator("resources")
    @classmethod
    def resources_are_used(cls, value: dict[str, StageResources]) -> dict[str, StageResources]:
        for name, given in value.items():
            if name not in SECTIONS:
                hint = suggestion(name, SECTIONS)
                raise Misplaced("", f"unknown stage {name!r}, {hint}", key=name)
            for setting, why in unused(name).items():
                if setting in given.model_fields_set:
                    raise Misplaced(f"{name}.{setting}", f"has no effect, as {why}; leave it out")
        return value

    def resources_of(self, rule: str) -> StageResources:
        """What one job of a rule may use; KeyError for a name that is no rule."""
        given = self.resources.get(RULES[rule].section, StageResources())
        return given if self.device == "cuda" else given.model_copy(update={"gpu": 0})
