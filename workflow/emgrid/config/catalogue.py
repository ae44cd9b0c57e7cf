"""The catalogue of a config: what its names stand for, read once.

A config names models, data sets, a question set, trigger families and judges. Their entries come
from the files of resources/ and from the config itself. Whoever works with a loaded config takes
them from here and opens no file of resources/ again.
"""

from dataclasses import dataclass, field

from emgrid.config.config import Config
from emgrid.config.datasets import Dataset, load_datasets
from emgrid.config.engine_choice import EngineChoice
from emgrid.config.judges import Judge, load_judges
from emgrid.config.models import BaseModelEntry, load_models
from emgrid.config.origins import mirror_folder
from emgrid.config.places import Origin
from emgrid.config.question_files import load_questions
from emgrid.config.questions import Question, QuestionSet
from emgrid.config.triggers import Trigger, load_triggers
from emgrid.runtime.errors import EmgridError


@dataclass(frozen=True)
class Catalogue:
    """Everything that a config may name, by name.

    models, datasets: the registries and the config's own entries. triggers: the families of
    resources/triggers/ and those that the question file brings. judges: those of resources/judges/
    and of the panel, with their rubrics read. panel: those of the config alone. screened,
    confirmed: the questions of `discovery`; no screened ones stand for prompts of the data sets.
    """

    models: dict[str, BaseModelEntry]
    datasets: dict[str, Dataset]
    question_set: QuestionSet
    triggers: dict[str, Trigger]
    judges: dict[str, Judge]
    panel: dict[str, Judge]
    screened: dict[str, Question] = field(default_factory=dict)
    confirmed: dict[str, Question] = field(default_factory=dict)

    @property
    def questions(self) -> dict[str, Question]:
        return self.question_set.questions


@dataclass(frozen=True)
class Experiment:
    """A loaded config: what was written, and what its names stand for. chosen: what `auto` stands
    for in it; None if it says that nowhere."""

    config: Config
    catalogue: Catalogue
    chosen: EngineChoice | None = None


def read_catalogue(config: Config, origin: Origin) -> Catalogue:
    """Read what a config may name. origin: the files that the config was written in.

    EmgridError: a file that the config names is missing or wrong.
    """
    try:
        mirror = mirror_folder(config.mirror)
    except EmgridError as problem:
        raise EmgridError(f"{origin.at('', 'mirror')}: {problem}") from None
    place = "questions"
    try:
        question_set = load_questions(config.questions, mirror)
        place = "triggers"
        triggers = load_triggers() | question_set.triggers | config.trigger_families
        place = "discovery"
        screened, confirmed = discovery_questions(config, question_set.questions)
    except EmgridError as problem:
        raise origin.error(place, problem) from None
    try:
        files = {name: judge.with_rubric(mirror) for name, judge in load_judges().items()}
        # In the order of their names, like all that has no order in the config.
        judges = sorted(config.judges, key=lambda judge: judge.id)
        panel: dict[str, Judge] = {judge.id: judge.with_rubric(mirror) for judge in judges}
    except EmgridError as problem:
        raise origin.error("judges", problem) from None
    return Catalogue(
        models=load_models() | config.models,
        datasets=load_datasets() | config.datasets,
        question_set=question_set,
        triggers=triggers,
        judges=files | panel,
        panel=panel,
        screened=screened,
        confirmed=confirmed,
    )


def discovery_questions(
    config: Config, own: dict[str, Question]
) -> tuple[dict[str, Question], dict[str, Question]]:
    """The questions that candidates for triggers are screened and confirmed on; none of the screen
    if it uses prompts of the data sets."""
    if config.discovery is None:
        return {}, {}
    mirror = mirror_folder(config.mirror)
    screened, confirmed = config.discovery.screen.questions, config.discovery.confirm.questions
    return (
        load_questions(screened, mirror).questions if screened else {},
        load_questions(confirmed, mirror).questions if confirmed else own,
    )
