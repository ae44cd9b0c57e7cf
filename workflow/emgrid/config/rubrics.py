"""Rubrics: what a judge that reads is asked, and how its reply becomes a value.

A rubric is a file of resources/rubrics/, or a judge prompt of a published question file. The
question and the answer are between delimiters that nothing in them can imitate: our own rubrics
carry a mark that is made from the two texts, and in published ones, whose delimiters are fixed,
an imitation loses its brackets.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.places import resource
from emgrid.config.project_files import is_path, read_mapping
from emgrid.config.question_files import load_questions
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError, suggestion

Value = Annotated[float, Field(ge=0, le=100)]


NUMBERS = {str(number): float(number) for number in range(101)}


class Reading(Strict):
    """How a judge's reply becomes a value."""

    labels: dict[str, Value] = Field(default_factory=dict)
    """Value of each label that the judge may reply with, from 0 to 100. Without labels the reply is
    a whole number from 0 to 100."""

    words: dict[str, Literal["refusal", "code", "unparseable"]] = Field(default_factory=dict)
    """Further replies that give no value, each with its reason."""

    @model_validator(mode="after")
    def replies_are_distinct(self) -> "Reading":
        seen: dict[str, str] = {}
        for text in [*self.labels, *self.words]:
            other = seen.get(text.casefold())
            if other == text:
                raise ValueError(f"{text!r} is a label and a word; it can be only one")
            if other is not None:
                raise ValueError(f"{text!r} and {other!r} cannot be told apart; leave one out")
            seen[text.casefold()] = text
        return self

    @property
    def values(self) -> dict[str, float]:
        return self.labels or NUMBERS

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of a structured reply."""
        number = {"type": "integer", "minimum": 0, "maximum": 100}
        texts = [*self.labels, *self.words]
        either = [] if self.labels else [number]
        either += [{"type": "string", "enum": texts}] if texts else []
        return {
            "type": "object",
            "properties": {"reply": {"anyOf": either} if len(either) > 1 else either[0]},
            "required": ["reply"],
            "additionalProperties": False,
        }


class Rubric(Strict):
    """What a reading judge is asked: a file of `resources/rubrics/`."""

    id: str
    """Name of the rubric, which is the file's name without its ending."""

    version: PositiveInt = 1
    """Raised whenever an edit could change a value, so that everything is judged again."""

    about: str = ""
    """What the rubric asks for, in a sentence for readers."""

    text: str
    """The prompt of the judge. It contains `{answer}` and may contain `{question}`, each between
    two delimiter lines. `{mark}` in the delimiters becomes eight characters that occur in neither
    text."""

    reading: Reading
    """How replies to this rubric become values."""

    @field_validator("text")
    @classmethod
    def shows_the_answer(cls, text: str) -> str:
        if "{answer}" not in text:
            raise ValueError("the rubric must show the judge the {answer}")
        return text

    @model_validator(mode="after")
    def answer_is_delimited(self) -> "Rubric":
        lines = [line.strip() for line in self.text.splitlines()]
        shown = [name for name in ("{question}", "{answer}") if name in self.text]
        for place, line in enumerate(lines):
            for name in shown:
                around = lines[max(place - 1, 0) : place] + lines[place + 1 : place + 2]
                if name in line and not (
                    line == name and len(around) == 2 and all(map(self.delimits, around))
                ):
                    raise ValueError(
                        f"put {name} between two delimiters on separate lines, such as "
                        "<answer {mark}> and </answer {mark}>; else an answer can write the rubric "
                        "on"
                    )
        return self

    def delimits(self, line: str) -> bool:
        """Whether a line can delimit a text: it has the mark, or brackets to lose."""
        if "{mark}" in self.text:
            return "{mark}" in line
        return re.fullmatch(r"[\[<(].+[\])>]", line) is not None

    def delimiters(self) -> list[str]:
        """The lines directly before and after the question and the answer."""
        lines = [line.strip() for line in self.text.splitlines()]
        places = [i for i, line in enumerate(lines) if line in ("{question}", "{answer}")]
        return list(dict.fromkeys(lines[j] for i in places for j in (i - 1, i + 1)))


class PublishedRubric(Strict):
    """A judge prompt of a published question file, used word for word."""

    file: str
    """Path of the question file, relative to the folder where Snakemake is started or to the
    mirror."""

    prompt: str
    """Name of the judge prompt in the file."""

    reading: Reading = Field(default_factory=Reading)
    """How replies to the published prompt become values."""


@cache
def own_rubric(name: str) -> Rubric:
    """A rubric of resources/rubrics/."""
    known = sorted(path.stem for path in (RESOURCES / "rubrics").glob("*.yaml"))
    if name not in known:
        raise EmgridError(f"unknown rubric {name!r}, {suggestion(name, known)}")
    origin = f"rubrics/{name}.yaml"
    rubric = validate(Rubric, read_yaml(RESOURCES / origin), resource(origin))
    if rubric.id != name:
        raise EmgridError(f"{origin}: id {rubric.id!r} must equal the file's name")
    return rubric


def load_rubric(wanted: str | PublishedRubric, mirror: Path | None) -> Rubric:
    """The rubric that a judge names; a published file is looked up as question files are."""
    if is_path(wanted):
        value, origin = read_mapping(str(wanted), "rubric")
        return validate(Rubric, value, origin)
    if isinstance(wanted, str):
        return own_rubric(wanted)
    prompts = load_questions(wanted.file, mirror).judge_prompts
    if wanted.prompt not in prompts:
        hint = suggestion(wanted.prompt, prompts)
        raise EmgridError(f"{wanted.file}: no judge prompt {wanted.prompt!r}, {hint}")
    value = {"id": wanted.prompt, "text": prompts[wanted.prompt], "reading": wanted.reading}
    return validate(Rubric, value, f"{wanted.file}: {wanted.prompt}")
