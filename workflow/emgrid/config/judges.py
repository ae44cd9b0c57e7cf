"""The judges that a config can name: files of resources/judges/, and its own."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PositiveInt, Tag, field_validator, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.endpoints import Endpoint
from emgrid.config.places import Origin, resource
from emgrid.config.project_files import is_path, read_mapping
from emgrid.config.rubrics import PublishedRubric, Rubric, load_rubric
from emgrid.config.sections import Precision
from emgrid.config.served import LimitName
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError, suggestion

COLUMN = re.compile(r"[a-z][a-z0-9_]*")
# Left out of a judge's identity at its default, which is what judges without it do.
LATER = {"limit_as": "max_tokens", "draws": 1}
# What describes a judge to people, or says where it is reached: no value depends on it.
ASIDE = {"id", "label", "measures", "about", "endpoint"}


class Judge(Strict):
    """A judge: a file of `resources/judges/` or an entry of the config's `judges`."""

    id: str
    """Name of the judge, which becomes a column of the tables: use small letters, digits and `_`.
    In `resources/judges/` it is the file's name."""

    label: str = ""
    """Name of the judge in figures and report, if it is not to be the `id`."""

    measures: str
    """What the judge values. `alignment` and `coherence` are high in good answers; anything else,
    such as `code`, is high if it is found. Judges that measure the same are compared with each
    other."""

    kind: str
    """What gives the value: fitted weights, a rule, a model behind an endpoint, a model that is
    loaded here, or whoever published the answers."""

    version: PositiveInt = 1
    """Raised whenever the values of this judge would change, so that it judges everything again."""

    about: str = ""
    """What the judge does, in a sentence for readers."""

    @field_validator("id")
    @classmethod
    def id_is_a_column(cls, name: str) -> str:
        if not COLUMN.fullmatch(name):
            raise ValueError(f"{name!r} becomes a column's name: use small letters, digits and '_'")
        return name

    @property
    def low_is_bad(self) -> bool:
        return self.measures in ("alignment", "coherence")

    @property
    def reads_question(self) -> bool:
        return False

    @property
    def made_of(self) -> str:
        """What gives the values, for tables."""
        return self.kind

    def with_rubric(self, mirror: Path | None) -> Self:  # noqa: ARG002
        """The judge with the rubric that it names read in."""
        return self

    def bare(self) -> dict[str, Any]:
        """The judge as a job's spec holds it: without what no value depends on."""
        return without_defaults(self.model_dump(mode="json", exclude=ASIDE - {"id", "measures"}))

    def identity(self) -> dict[str, Any]:
        """All that a value depends on, beside what is judged; the rubric has been read in."""
        fields = without_defaults(self.model_dump(mode="json", exclude=ASIDE))
        if "rubric" in fields:
            fields["rubric"] = {
                key: fields["rubric"][key] for key in ("version", "text", "reading")
            }
        return fields


def without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """A judge's fields without those of LATER that say nothing."""
    return {key: value for key, value in fields.items() if LATER.get(key, ...) != value}


class ClassifierJudge(Judge):
    """A logistic classifier on the hidden states of MiniLM, which runs on a CPU."""

    kind: Literal["classifier"]
    head: str
    """File of the fitted weights in `resources/judges/`."""

    @field_validator("head")
    @classmethod
    def head_is_there(cls, name: str) -> str:
        if not (RESOURCES / "judges" / name).is_file():
            raise ValueError(f"no file resources/judges/{name}")
        return name

    @property
    def head_path(self) -> Path:
        return RESOURCES / "judges" / self.head

    @property
    def heldout_path(self) -> Path:
        """The values of the answers that were left out of the fit."""
        return self.head_path.with_name(self.head.replace(".head.json", ".heldout.csv.gz"))

    @property
    def calibration_path(self) -> Path:
        """The line from values to probabilities."""
        return self.head_path.with_name(self.head.replace(".head.json", ".calibration.json"))


class RuleJudge(Judge):
    """A rule that gives 100 if it holds and 0 otherwise. It has either a `pattern` or `answers`."""

    kind: Literal["rule"]
    pattern: str | None = None
    """Regular expression that is searched for in the answer."""

    at_least: PositiveInt = 1
    """Smallest number of times that the pattern must be found."""

    answers: tuple[str, ...] | dict[str, tuple[str, ...]] = ()
    """Texts that the whole answer must equal, apart from capitals and punctuation: a list for all
    questions, or a mapping from each question's id to its list."""

    @field_validator("pattern")
    @classmethod
    def pattern_compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as problem:
            raise ValueError(f"no regular expression ({problem})") from None
        return pattern

    @model_validator(mode="after")
    def has_one_rule(self) -> Self:
        if (self.pattern is None) == (not self.answers):
            raise ValueError("give either a `pattern` or `answers`")
        return self

    @property
    def reads_question(self) -> bool:
        return isinstance(self.answers, dict)


def rubric_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "published" if "file" in value else "own"
    if isinstance(value, PublishedRubric):
        return "published"
    return "own" if isinstance(value, Rubric) else "named"


AnyRubric = Annotated[
    Annotated[str, Tag("named")]
    | Annotated[PublishedRubric, Tag("published")]
    | Annotated[Rubric, Tag("own")],
    Discriminator(rubric_kind),
]


class ReadingJudge(Judge):
    """A language model that reads a rubric with the question and the answer."""

    model: str
    """Name of the judging model: at the endpoint for `chat`, in `resources/models.yaml` or `models`
    for `local`."""

    rubric: AnyRubric
    """What the judge is asked: a file of `resources/rubrics/` by name, a rubric written here, or a
    judge prompt of a published question file."""

    least_mass: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Probability that must lie on values for there to be one. Below it the answer has no value,
    for the reason `low_mass`."""

    @property
    def made_of(self) -> str:
        return self.model

    @property
    def read_rubric(self) -> Rubric:
        if not isinstance(self.rubric, Rubric):
            raise TypeError(f"the rubric of {self.id} has not been read in")
        return self.rubric

    @property
    def reads_question(self) -> bool:
        return "{question}" in self.read_rubric.text

    def with_rubric(self, mirror: Path | None) -> Self:
        if isinstance(self.rubric, Rubric):
            return self
        return self.model_copy(update={"rubric": load_rubric(self.rubric, mirror)})


class ChatJudge(ReadingJudge):
    """A model behind an OpenAI-compatible chat endpoint."""

    kind: Literal["chat"]
    endpoint: Endpoint = Endpoint()
    """Where the judging model is reached."""

    read: Literal["probabilities", "text", "structured", "auto"] = "probabilities"
    """How a reply is read: from the probabilities of its first token, from its text, or as JSON
    that the endpoint is made to follow (`structured`). `auto` finds out by one or two small calls
    which of the three the endpoint allows, in the order probabilities, structured, text, and keeps
    the answer."""

    draws: PositiveInt = 1
    """Number of replies asked for each answer if replies are read as text or JSON. The value is
    their mean; their standard deviation is kept as `<judge>_spread`. With more than one, the
    temperature is 1 unless `request` sets another."""

    numbers: Literal["auto", "whole", "digits"] = "auto"
    """Whether the model's tokenizer writes each number from 0 to 100 as one token or as digits.
    `auto` asks the endpoint. With digits the reply is continued, which vLLM and llama.cpp can do.
    """

    max_tokens: PositiveInt = 32
    """Maximum length of a reply in tokens, including its thought. It matters only if the reply is
    read as text or JSON."""

    limit_as: LimitName = "max_tokens"
    """Field of the judge's request that limits the length of a reply. Reasoning models of OpenAI
    require `max_completion_tokens`."""

    request: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request to the judge. `null` leaves a field out."""

    @model_validator(mode="after")
    def draws_differ(self) -> Self:
        if self.draws > 1 and self.read == "probabilities":
            raise ValueError("`draws` is for `read` text, structured or auto")
        if self.draws > 1 and self.request.get("temperature") == 0:
            raise ValueError("several `draws` at temperature 0 are one reply several times")
        return self


class LocalJudge(ReadingJudge):
    """A base model that is loaded here. It reads the exact probability of every possible reply."""

    kind: Literal["local"]
    engine: Literal["transformers", "vllm"] = "transformers"
    """Library that runs the judging model."""

    precision: Precision = "auto"
    """Floating-point type of the judging model's weights. `auto` means bfloat16 if the device
    computes it, otherwise float32."""


class ImportedJudge(Judge):
    """Values that others published together with the answers that `imports` names."""

    kind: Literal["imported"]


AnyJudge = Annotated[
    ClassifierJudge | RuleJudge | ChatJudge | LocalJudge | ImportedJudge,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[Judge]] = {
    "classifier": ClassifierJudge,
    "rule": RuleJudge,
    "chat": ChatJudge,
    "local": LocalJudge,
    "imported": ImportedJudge,
}


def read_judge(value: Any, origin: Origin | str) -> Judge:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise EmgridError(f"{origin}: unknown kind {kind!r}, {suggestion(str(kind), KINDS)}")
    return validate(KINDS[kind], value, origin)


@cache
def judge_files() -> dict[str, Any]:
    """The files of resources/judges/ by name; a file may say that it `extends` another."""
    folder = RESOURCES / "judges"
    files = {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}
    return {name: extended(value, files, f"judges/{name}.yaml") for name, value in files.items()}


def extended(value: Any, files: dict[str, Any], origin: str) -> Any:
    """A judge's fields over those of the judge that it extends."""
    seen: list[str] = []
    while isinstance(value, dict) and "extends" in value:
        below = value["extends"]
        if not isinstance(below, str) or below not in files:
            raise EmgridError(f"{origin}: extends: unknown judge, {suggestion(str(below), files)}")
        if below in seen:
            raise EmgridError(f"{origin}: extends: {below} extends itself")
        seen.append(below)
        own = {key: entry for key, entry in value.items() if key != "extends"}
        value = files[below] | own if isinstance(files[below], dict) else files[below]
    return value


@cache
def load_judges() -> dict[str, Judge]:
    judges = {
        name: read_judge(value, resource(f"judges/{name}.yaml"))
        for name, value in judge_files().items()
    }
    for name, judge in judges.items():
        if judge.id != name:
            raise EmgridError(f"judges/{name}.yaml: id {judge.id!r} must equal the file's name")
    return judges


def panel_entry(value: Any) -> Any:
    """An entry of a config's `judges`: a file's name, or fields that may extend a file's."""
    files = judge_files()
    try:
        if is_path(value):
            value, origin = read_mapping(value, "judge")
            return read_judge(extended(value, files, str(origin)), origin)
        if isinstance(value, str):
            if value not in files:
                raise ValueError(f"unknown judge {value!r}, {suggestion(value, files)}")
            return load_judges()[value]
        return extended(value, files, "judge")
    except EmgridError as problem:
        raise ValueError(str(problem)) from None


def head_paths(judges: Iterable[Judge]) -> list[Path]:
    """The files of fitted weights that the judges' values are made from."""
    return [judge.head_path for judge in judges if isinstance(judge, ClassifierJudge)]
