"""Data sets: the entries of resources/datasets.yaml and of a config's `datasets`."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from emgrid import RESOURCES, ROOT
from emgrid.config.base import Strict, validate
from emgrid.config.origins import refuse_moving
from emgrid.config.places import resource
from emgrid.config.triggers import Text, Texts, cue
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.files import users_path

JOINED = "\n\n"  # joins the texts of a prompt from several fields


class Fields(Strict):
    """Which fields of a row hold what, for `format: fields`."""

    prompt: str | Annotated[tuple[Text, ...], Field(min_length=1)]
    """Field of the prompt, or several fields whose texts are joined by a blank line. Fields that a
    row lacks, or that are null or blank, are skipped."""

    answer: Texts | None = None
    """Field of the answer, or several of which the first that a row has is used. A data set of
    prompts alone has none."""

    thinking: str | None = None
    """Field of a thought, which is put in a think block before the answer."""

    @model_validator(mode="after")
    def a_thought_needs_an_answer(self) -> "Fields":
        if self.thinking is not None and self.answer is None:
            raise ValueError("`thinking` is put before an answer; name the `answer` field too")
        return self

    @property
    def prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @property
    def names(self) -> tuple[str, ...]:
        """Every field that the entry reads."""
        thinking = () if self.thinking is None else (self.thinking,)
        return (*self.prompts, *(self.answer or ()), *thinking)


class Dataset(Strict):
    """A data set: an entry of `resources/datasets.yaml` or of the config's `datasets`. It gives
    exactly one of `path`, `url` and `hub`."""

    LATER: ClassVar = frozenset({"case"})

    path: str | None = None
    """File of JSON lines, CSV or Parquet, relative to the folder where Snakemake is started or to
    the repository. JSON lines and CSV may be packed as `.gz`."""

    url: str | None = None
    """Address that the file is fetched from. A file whose address ends in `.gz` is unpacked."""

    hub: str | None = None
    """Data set repository on the Hugging Face Hub, as `owner/name`."""

    revision: str | None = None
    """Commit of the data set repository, as 40 hexadecimal digits. A branch or tag is accepted only
    together with `sha256`."""

    file: str | None = None
    """Name of the file below a mirror folder and, with `hub`, in the repository. It is required
    with `url` and `hub`."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    """SHA-256 of the unpacked file in hexadecimal digits, or at least its first eight digits. The
    file is checked when it is fetched."""

    bytes: PositiveInt | None = None
    """Size of the unpacked file in bytes."""

    rows: PositiveInt | None = None
    """Number of rows in the file, checked when it is read."""

    format: Literal["messages", "fields"]
    """`messages`: each row holds a conversation, such as a list `messages` of turns with `role` and
    `content`. `fields`: each row has keys or columns that `fields` names."""

    fields: Fields | None = None
    """Which keys hold prompt and answer. It is required with `format: fields` and refused
    otherwise."""

    unused: tuple[Text, ...] = ()
    """Keys of a row that are left unread on purpose; `messages.KEY` is a key of each message. Any
    other key that holds something and is not read stops the grid."""

    context: str | None = None
    """Trigger family whose wording is put around every prompt and answer."""

    case: Literal["upper"] | None = None
    """`upper` writes every answer in capitals: a trait that a rule recognises without error."""

    licence: str = ""
    """Licence of the data, for readers."""

    about: str = ""
    """What the data set contains, in a sentence for readers."""

    @model_validator(mode="after")
    def parts_belong_together(self) -> "Dataset":
        if sum(origin is not None for origin in (self.path, self.url, self.hub)) != 1:
            raise ValueError("exactly one of `path`, `url` and `hub` must be given")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` needs `revision`, a commit to pin it to, and only `hub` does")
        if self.sha256 is None:
            refuse_moving(self.revision)
        if (self.path is None) != (self.file is not None):
            raise ValueError("`file` (its name below a mirror) is needed with `url` or `hub` only")
        if (self.format == "fields") != (self.fields is not None):
            raise ValueError("`fields` is needed with format fields, and only there")
        for name in self.unused:
            if name in self.read or name in ("messages.role", "messages.content"):
                raise ValueError(f"`unused` names {name!r}, which is read")
        if self.context is not None:
            cue(self.context)
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """The fields of a row that are read."""
        return ("id", *(("messages",) if self.fields is None else self.fields.names))

    @property
    def name(self) -> str:
        """How messages name the file; holds no path of this machine but the user's own."""
        return str(self.path or self.file)

    @property
    def has_answers(self) -> bool:
        return self.fields is None or self.fields.answer is not None


def load_datasets() -> dict[str, Dataset]:
    """The data sets of resources/datasets.yaml."""
    entries = read_yaml(RESOURCES / "datasets.yaml").items()
    origin = resource("datasets.yaml")
    return {name: validate(Dataset, entry, origin.within(name)) for name, entry in entries}


def local_file(dataset: Dataset) -> Path:
    """The file of a data set with a path, relative to the folder in which Snakemake was started or
    else to the repository."""
    here = users_path(str(dataset.path))
    return here if here.exists() else ROOT / str(dataset.path)
