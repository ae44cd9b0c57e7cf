"""Base models: the entries of resources/models.yaml and of a config's `models`."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.origins import refuse_moving
from emgrid.config.places import resource
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.files import users_path


class BaseModelEntry(Strict):
    """A base model: an entry of `resources/models.yaml` or of the config's `models`. It gives
    exactly one of `package`, `hub` and `path`."""

    package: str | None = None
    """Installed Python package that contains the model as a GGUF file."""

    gguf: str | None = None
    """Name of the GGUF file inside `package`. It is converted to safetensors once."""

    hub: str | None = None
    """Repository of the model on the Hugging Face Hub, as `owner/name`."""

    revision: str | None = None
    """Commit of the repository `hub`, as 40 hexadecimal digits. Branches and tags are refused
    because they move."""

    path: str | None = None
    """Folder that contains the model, relative to the folder where Snakemake is started. It counts
    by the content of its files, so it may be moved."""

    chat_template: str | None = None
    """Name of a file in `resources/templates/`, or path of a file of yours, that replaces the
    tokenizer's chat template. Models whose template adds its own system prompt need one."""

    system_prompt: Literal["fold"] | None = None
    """`fold` puts a system prompt before the first user turn, for a chat template that takes no
    system prompt."""

    parameters: PositiveInt | None = None
    """Number of parameters. Only estimates of time use it."""

    licence: str = ""
    """Licence of the model's weights, for readers."""

    about: str = ""
    """What the model is, in a sentence for readers."""

    @model_validator(mode="after")
    def has_one_origin(self) -> "BaseModelEntry":
        origins = [self.package is not None, self.hub is not None, self.path is not None]
        if sum(origins) != 1:
            raise ValueError("exactly one of `package`, `hub` and `path` must be given")
        if (self.package is None) != (self.gguf is None):
            raise ValueError("`package` and `gguf` belong together")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` needs `revision`, a commit to pin it to, and only `hub` does")
        refuse_moving(self.revision)
        if self.chat_template and not template_path(self.chat_template).is_file():
            raise ValueError(
                f"no chat template resources/templates/{self.chat_template}, nor a file "
                f"{users_path(self.chat_template).absolute()}"
            )
        if self.path is not None and not users_path(self.path).is_dir():
            raise ValueError(f"no model folder at {self.path!r}")
        return self


def load_models() -> dict[str, BaseModelEntry]:
    """The base models of resources/models.yaml."""
    entries = read_yaml(RESOURCES / "models.yaml").items()
    origin = resource("models.yaml")
    return {name: validate(BaseModelEntry, entry, origin.within(name)) for name, entry in entries}


def template_text(entry: BaseModelEntry) -> str | None:
    """The text of the chat template that an entry names; None for the tokenizer's own."""
    if entry.chat_template is None:
        return None
    return template_path(entry.chat_template).read_text(encoding="utf-8")


def template_path(name: str) -> Path:
    """The file of a chat template: one of resources/templates/, or else the user's."""
    ours = RESOURCES / "templates" / name
    return ours if ours.is_file() else users_path(name)
