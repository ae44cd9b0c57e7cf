"""An entry of a config's `adapters`: a LoRA adapter that was trained elsewhere, as an arm."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from emgrid.config.base import Strict
from emgrid.config.external_arm import ExternalArm
from emgrid.config.origins import refuse_moving
from emgrid.config.sections import Sampling
from emgrid.runtime import layout


class AdapterFiles(Strict):
    """Where the files of an adapter are, and what is taken for granted of them."""

    path: str | None = None
    """Folder in PEFT's format (`adapter_config.json`, `adapter_model.safetensors`), relative to the
    folder where Snakemake is started. It counts by the content of its files, so it may be moved."""

    hub: str | None = None
    """Repository of the adapter on the Hugging Face Hub, as `owner/name`."""

    revision: str | None = None
    """Commit of the adapter's repository, as 40 hexadecimal digits. Branches and tags are refused
    because they move."""

    subfolder: str | None = None
    """Folder of the repository `hub` that holds the adapter, if it holds several."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of `adapter_model.safetensors`. It is required with `hub`."""

    trained_on: str | None = None
    """What `adapter_config.json` names as the base model, if that is another name of `base`, such
    as a path on the machine of the training. By giving it you vouch that the weights are the same.
    """

    chat_template: Literal["adapter", "base"] = "adapter"
    """`adapter` refuses an adapter whose folder holds a chat template that renders conversations
    otherwise than that of `base`. `base` asks it in the template of `base` all the same."""

    @model_validator(mode="after")
    def parts_belong_together(self) -> Self:
        if self.path is not None and self.hub is not None:
            raise ValueError("give `path` or `hub`, not both")
        for name in ("revision", "sha256"):
            if self.hub is not None and getattr(self, name) is None:
                raise ValueError(f"`hub` needs `{name}`, so that the adapter stays the same")
        for name in ("revision", "subfolder"):
            if self.hub is None and getattr(self, name) is not None:
                raise ValueError(f"`{name}` is of a repository `hub`; leave it out")
        if self.subfolder is not None and ".." in self.subfolder.split("/"):
            raise ValueError(f"`subfolder`: {self.subfolder!r} leaves the repository")
        refuse_moving(self.revision)
        return self

    @property
    def files(self) -> dict[str, Any]:
        """The fields that say which files these are, as they are in a spec."""
        return {name: getattr(self, name) for name in AdapterFiles.model_fields if name != "path"}

    @property
    def origin(self) -> str:
        """Where it comes from, for readers; of a local path the last part alone."""
        if self.hub is None:
            return str(self.path).rstrip("/").rpartition("/")[2]
        inside = f"/{self.subfolder}" if self.subfolder else ""
        return f"{self.hub}{inside} at {str(self.revision)[:12]}"


class Adapter(ExternalArm, AdapterFiles):
    """Each entry is an arm: a base model with a LoRA adapter that was trained elsewhere. An entry
    of the intervention `base` gives no files and is the base model as it is, the control of the
    others."""

    base: str
    """Base model that the adapter was trained on, by its name in `resources/models.yaml` or the
    config's `models`."""

    manifest: str | None = None
    """Manifest that `emgrid export-rows` wrote with the training rows. `base`, `intervention`,
    `ratio` and `seed` are read from it unless they are given, and the tables name the rows."""

    sampling: Sampling
    """Settings of `sampling` that differ for this arm alone."""

    @model_validator(mode="after")
    def has_files_unless_it_is_the_base(self) -> Self:
        has_files = self.path is not None or self.hub is not None
        if self.is_base and (has_files or self.manifest):
            raise ValueError(
                "`base` is the model as it is, without an adapter; leave the files out"
            )
        if not self.is_base and not has_files:
            raise ValueError("gives no adapter; add its folder as `path`, or `hub`")
        return self

    @property
    def is_base(self) -> bool:
        return self.intervention == "base"

    @property
    def key(self) -> str:
        """The name of its folder among the grid's assets."""
        return layout.arm_name(self.base, self.intervention, self.ratio, str(self.seed))
