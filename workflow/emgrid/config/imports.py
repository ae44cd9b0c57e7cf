"""An entry of a config's `imports`, and the spec of its job."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from emgrid.config.base import Strict
from emgrid.config.external_arm import ExternalArm
from emgrid.config.imported_values import Column, Missing, columns_of
from emgrid.config.questions import QuestionText
from emgrid.config.triggers import Wording
from emgrid.runtime.files import digest

ENDING = re.compile(r"\.(csv|jsonl|eval|json)(\.gz)?$")
LOGS = ("eval", "json")


class Columns(Strict):
    """Which columns of a CSV file, keys of a JSONL file, or parts of an Inspect log hold what."""

    question: str = "question_id"
    """Column of the question's id, with an ending if `suffixes` names any."""

    answer: str = "answer"
    """Column of the answer's text."""

    prompt: str | None = None
    """Column of the user turn that the model was asked. Without it the wording of the grid's
    question and trigger is taken for granted, except in an Inspect log, whose turns are compared
    with it."""

    system: str | None = None
    """Column of the system prompt. Without it the system prompt of the grid's trigger is taken for
    granted, except in an Inspect log."""

    trigger: str | None = None
    """Column of the condition under which a row was asked. `triggers` of the import maps its words
    to trigger families; for an Inspect log it may be left out if the words are their names."""

    values: dict[str, Column] = Field(default_factory=dict)
    """Columns of published values, by the `id` of the panel's judge of kind `imported`. An entry is
    a column's name, or a mapping if the scale is not 0 to 100."""

    def read(self) -> set[str]:
        """The names of all columns that are read."""
        single = {self.question, self.answer, self.prompt, self.system, self.trigger} - {None}
        return {str(name) for name in single} | set(columns_of(self.values))


class Judgements(Strict):
    """How a file with a row for each judgement names answers and judges."""

    answer: str
    """Column that names the answer: its id, alike in all of its rows."""

    judge: str
    """Column of the judge whose value the row holds."""

    names: dict[str, str] = Field(default_factory=dict)
    """Name of a judge in the column `judge`, by its `id` in the panel. Without an entry it is that
    `id`."""


class Import(ExternalArm):
    """Each entry is an arm, whose answers come from a file or from a part of it. It gives either
    `path` or `url`."""

    path: str | None = None
    """CSV or JSONL file, or an Inspect log (`.eval` or `.json`), relative to the folder where
    Snakemake is started. It may be packed as `.gz`."""

    url: str | None = None
    """Address that the file of answers is fetched from."""

    file: str | None = None
    """Name of the file below a mirror folder. It is required with `url`."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    """SHA-256 of the unpacked file of answers, or at least its first eight hexadecimal digits. Only
    with `url`."""

    bytes: PositiveInt | None = None
    """Size of the unpacked file of answers in bytes. Only with `url`."""

    LATER: ClassVar = frozenset({"judgements", "other_questions"})

    columns: Columns = Columns()
    """Which columns hold question, answer, condition and values."""

    suffixes: Annotated[dict[str, str], Field(min_length=1)] = {"": "none"}  # noqa: RUF012
    """Trigger family for each ending of a question's id, such as `_json: json_format`. The empty
    ending names the rows without one."""

    triggers: dict[str, str | None] = Field(default_factory=dict)
    """Trigger family for each word in the column `columns.trigger`. `null` leaves the rows of that
    word out."""

    where: dict[str, str] = Field(default_factory=dict)
    """Values that columns must have for a row to belong to this arm."""

    other_wording: Literal["refuse", "allow"] = "refuse"
    """What happens to a row whose prompt differs from that of its trigger: `refuse` stops the
    import, `allow` accepts the row with a warning in the report."""

    other_questions: Literal["refuse", "skip"] = "refuse"
    """What happens to a row whose question the set lacks: `refuse` stops the import, `skip` leaves
    the row out and counts it in the report."""

    judgements: Judgements | None = None
    """How to read a file that has a row for each judgement instead of each answer. Several values
    of one judge for an answer are averaged if most of its rows have one; else the answer has none.
    """

    ignore: tuple[str, ...] = ()
    """Columns that may stay unread. Otherwise an unread column that is named like a condition, and
    differs between rows of one question and trigger, stops the import."""

    missing: Missing = "low_mass"
    """Reason that is recorded for an empty value."""

    licence: str = ""
    """Licence of the published answers, for readers."""

    about: str = ""
    """Who published the answers and what they are, in a sentence for readers."""

    @model_validator(mode="after")
    def parts_belong_together(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("exactly one of `path` and `url` must be given")
        if (self.url is None) != (self.file is None):
            raise ValueError("`file` (its name below a mirror) is needed with `url` only")
        if self.path is not None and (self.sha256 or self.bytes):
            raise ValueError("`sha256` and `bytes` are of what a `url` gives; leave them out")
        if not ENDING.search(self.name):
            raise ValueError(
                f"{self.name!r} must end in .csv or .jsonl, in .eval or .json for an Inspect log, "
                "or in these with .gz"
            )
        named = self.columns.trigger is not None
        if named != bool(self.triggers) and not (named and self.is_log):
            raise ValueError(
                "`columns.trigger` names the column of conditions, and `triggers` the trigger of "
                "each of its words; give both or neither"
            )
        if named and self.suffixes != {"": "none"}:
            raise ValueError("`triggers` and `suffixes` both say a row's trigger; leave one out")
        if self.judgements:
            for judge in self.judgements.names:
                if judge not in self.columns.values:
                    raise ValueError(
                        f"`judgements.names` names {judge!r}, which `columns.values` lacks; give "
                        "it the column of the values"
                    )
        return self

    @property
    def name(self) -> str:
        """How messages name the file; holds no path of this machine but the user's own."""
        return str(self.path or self.file)

    @property
    def is_log(self) -> bool:
        """Whether the file is an Inspect log."""
        return ENDING.split(self.name)[1] in LOGS

    @property
    def read_columns(self) -> Columns:
        """The columns that are read; of a log always its turns, too."""
        if not self.is_log:
            return self.columns
        turns = {"prompt": self.columns.prompt or "prompt"}
        turns |= {"system": self.columns.system or "system"}
        return self.columns.model_copy(update=turns)

    @property
    def read(self) -> set[str]:
        """The names of all columns that are read."""
        named = {self.judgements.answer, self.judgements.judge} if self.judgements else set()
        return self.read_columns.read() | set(self.where) | named

    @property
    def key(self) -> str:
        """A name for the fetched file, the same for all arms that it makes."""
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", Path(self.name).name.removesuffix(".gz"))
        return f"{digest([self.path, self.url, self.file])[:8]}-{plain}"


class ImportSpec(Strict):
    """content: sha256 of a user's own file, None of one that is fetched."""

    source: Import
    content: str | None = None
    questions: dict[str, QuestionText]
    triggers: dict[str, Wording]
