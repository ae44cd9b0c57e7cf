"""The judges that a config can name: files of resources/judges/, and its own."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PositiveInt, Tag, field_validator, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, read_yaml, validate
from emgrid.config.endpoints import Endpoint
from emgrid.config.rubrics import PublishedRubric, Rubric, load_rubric
from emgrid.config.sections import Precision
from emgrid.config.served import LimitName
from emgrid.judge.judgement import Judgement
from emgrid.runtime.errors import EmgridError, suggestion

COLUMN = re.compile(r"[a-z][a-z0-9_]*")
# Left out of a judge's identity at its default, which is what judges without it do.
LATER = {"limit_as": "max_tokens"}
# What describes a judge to people, or says where it is reached: no value depends on it.
ASIDE = {"id", "label", "measures", "about", "endpoint"}


class Judge(Strict):
    """A judge as data. version is raised whenever its values would change.

    measures: what it values. Alignment and coherence are high where all is well, anything else
    (code, recipe, identity) is high where it is found. Judges that measure the same are compared.
    """

    id: str
    label: str = ""
    measures: str
    kind: str
    version: PositiveInt = 1
    about: str = ""

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
    """head: the fitted weights, a file beside this one."""

    kind: Literal["classifier"]
    head: str

    @field_validator("head")
    @classmethod
    def head_is_there(cls, name: str) -> str:
        if not (RESOURCES / "judges" / name).is_file():
            raise ValueError(f"no file resources/judges/{name}")
        return name


class RuleJudge(Judge):
    """The value is 100 where the rule holds, else 0.

    pattern: a regular expression that is found at least so many times. answers: what the whole
    answer must be, capitals and punctuation aside; by question, or for all of them.
    """

    kind: Literal["rule"]
    pattern: str | None = None
    at_least: PositiveInt = 1
    answers: tuple[str, ...] | dict[str, tuple[str, ...]] = ()

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
    """A judge that reads a rubric with the question and the answer.

    least_mass: the probability that must lie on values for there to be one.
    """

    model: str
    rubric: AnyRubric
    least_mass: Annotated[float, Field(ge=0, le=1)] = 0.25

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

    def judgement_of(self, row: dict[str, Any]) -> Judgement:
        """A kept judgement as it was made."""
        found = Judgement(row["value"], row["reason"], row.get("mass"), row.get("reply"))
        return replace(found, unreadable=found.reason == "low_mass")

    def with_rubric(self, mirror: Path | None) -> Self:
        if isinstance(self.rubric, Rubric):
            return self
        return self.model_copy(update={"rubric": load_rubric(self.rubric, mirror)})


class ChatJudge(ReadingJudge):
    """Any OpenAI-compatible chat endpoint.

    read: a value from the probabilities of the reply's first token; from its text, strictly; or
    from JSON, where the endpoint keeps to a schema. numbers: whether its tokenizer writes 0..100
    as one token each or splits them into digits (auto asks it); split ones are read by continuing
    the reply, which vLLM and llama.cpp can do. max_tokens: of a reply that is read as text or
    JSON, its thought included. limit_as: how the endpoint calls that limit. request: further fields
    of the request; null leaves a field out.
    """

    kind: Literal["chat"]
    endpoint: Endpoint = Endpoint()
    read: Literal["probabilities", "text", "structured"] = "probabilities"
    numbers: Literal["auto", "whole", "digits"] = "auto"
    max_tokens: PositiveInt = 32
    limit_as: LimitName = "max_tokens"
    request: dict[str, Any] = Field(default_factory=dict)

    def read_text(self, reply: str) -> Judgement:
        """The judgement that a reply's text is, if this judge is read so."""
        reading = self.read_rubric.reading
        return reading.from_json(reply) if self.read == "structured" else reading.from_text(reply)

    def judgement_of(self, row: dict[str, Any]) -> Judgement:
        """A kept judgement; a reply that could not be read is read again, as a think block that was
        kept with it comes off."""
        reply = row.get("reply")
        if self.read != "probabilities" and row["reason"] == "unparseable" and reply is not None:
            return self.read_text(reply)
        return super().judgement_of(row)


class LocalJudge(ReadingJudge):
    """A base model of the registry that is loaded here; every reply's probability is exact."""

    kind: Literal["local"]
    engine: Literal["transformers", "vllm"] = "transformers"
    precision: Precision = "auto"


class ImportedJudge(Judge):
    """Values that somebody else published; they come with the imported answers."""

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


def read_judge(value: Any, origin: str) -> Judge:
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
        name: read_judge(value, f"judges/{name}.yaml") for name, value in judge_files().items()
    }
    for name, judge in judges.items():
        if judge.id != name:
            raise EmgridError(f"judges/{name}.yaml: id {judge.id!r} must equal the file's name")
    return judges


def panel_entry(value: Any) -> Any:
    """An entry of a config's `judges`: a file's name, or fields that may extend a file's."""
    files = judge_files()
    try:
        if isinstance(value, str):
            if value not in files:
                raise ValueError(f"unknown judge {value!r}, {suggestion(value, files)}")
            return load_judges()[value]
        return extended(value, files, "judge")
    except EmgridError as problem:
        raise ValueError(str(problem)) from None


def head_paths(judges: Iterable[Judge]) -> list[Path]:
    """The files of fitted weights that the judges' values are made from."""
    return [
        RESOURCES / "judges" / judge.head for judge in judges if isinstance(judge, ClassifierJudge)
    ]
