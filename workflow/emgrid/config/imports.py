"""An entry of a config's `imports`, and the spec of its job."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from emgrid.config.base import Strict
from emgrid.config.external_arm import Point
from emgrid.config.questions import Asked
from emgrid.config.triggers import Wording
from emgrid.runtime.files import digest
from emgrid.sample.import_values import Column, Missing, columns_of

ENDING = re.compile(r"\.(csv|jsonl)(\.gz)?$")


class Columns(Strict):
    """Which columns (or JSON fields) hold what; values: by the id of a judge of kind `imported`.

    prompt, system: what the model was asked; without them, what the grid's trigger asks. trigger:
    the condition that a row was asked under, by the words of the import's `triggers`.
    """

    question: str = "question_id"
    answer: str = "answer"
    prompt: str | None = None
    system: str | None = None
    trigger: str | None = None
    values: dict[str, Column] = Field(default_factory=dict)

    def read(self) -> set[str]:
        """The names of all columns that are read."""
        single = {self.question, self.answer, self.prompt, self.system, self.trigger} - {None}
        return {str(name) for name in single} | set(columns_of(self.values))


class Import(Point):
    """An entry of a config's `imports`: the arm that a file, or a part of it, makes.

    path is a local file. With url, `file` is its name below a mirror folder; sha256 and bytes are
    of the unpacked file. suffixes: which trigger family the end of a question id names. triggers:
    which one a word of the column `columns.trigger` names; None leaves its rows out. where: what
    columns hold in the rows of this arm. missing: why an empty value is none. other_wording: what
    is done with rows that were asked in other words than their trigger has. ignore: columns that
    may stay unread.
    """

    path: str | None = None
    url: str | None = None
    file: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    bytes: PositiveInt | None = None
    columns: Columns = Columns()
    suffixes: Annotated[dict[str, str], Field(min_length=1)] = {"": "none"}  # noqa: RUF012
    triggers: dict[str, str | None] = Field(default_factory=dict)
    where: dict[str, str] = Field(default_factory=dict)
    other_wording: Literal["refuse", "allow"] = "refuse"
    ignore: tuple[str, ...] = ()
    missing: Missing = "low_mass"
    licence: str = ""
    about: str = ""

    @model_validator(mode="after")
    def parts_belong_together(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("exactly one of `path` and `url` must be given")
        if (self.url is None) != (self.file is None):
            raise ValueError("`file` (its name below a mirror) is needed with `url` only")
        if self.path is not None and (self.sha256 or self.bytes):
            raise ValueError("`sha256` and `bytes` are of what a `url` gives; leave them out")
        if (self.columns.trigger is None) != (not self.triggers):
            raise ValueError(
                "`columns.trigger` names the column of conditions, and `triggers` the trigger of "
                "each of its words; give both or neither"
            )
        if self.triggers and self.suffixes != {"": "none"}:
            raise ValueError("`triggers` and `suffixes` both say a row's trigger; leave one out")
        if not ENDING.search(self.name):
            raise ValueError(f"{self.name!r} must end in .csv or .jsonl, or these with .gz")
        return self

    @property
    def name(self) -> str:
        """How messages name the file; holds no path of this machine but the user's own."""
        return str(self.path or self.file)

    @property
    def key(self) -> str:
        """A name for the fetched file, the same for all arms that it makes."""
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", Path(self.name).name.removesuffix(".gz"))
        return f"{digest([self.path, self.url, self.file])[:8]}-{plain}"


class ImportSpec(Strict):
    """content: sha256 of a user's own file, None of one that is fetched."""

    source: Import
    content: str | None = None
    questions: dict[str, Asked]
    triggers: dict[str, Wording]
