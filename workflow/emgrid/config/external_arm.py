"""The cell of the grid that an arm takes which is not trained here."""

import re
from typing import Self

from pydantic import NonNegativeInt, model_validator

from emgrid.config.base import Strict
from emgrid.config.sections import Ratio

FOLDER = re.compile(r"[a-z0-9][a-z0-9_.\-]*")


class ExternalArm(Strict):
    """The place in the grid of an arm that is not trained here."""

    base: str
    """Name of the base model that others trained. It becomes part of a folder's name: use small
    letters, digits, `_`, `-` and `.`."""

    intervention: str
    """What the model was trained on, as the tables call it. `base` is the untrained model, the
    control of the others."""

    ratio: Ratio
    """Share of misaligned rows in the training data, from 0 to 1. It must be 0 for the intervention
    `base`."""

    seed: NonNegativeInt = 0
    """Number that tells several training runs of the same intervention apart."""

    label: str | None = None
    """Name of the arm in figures and report, if it is not to be the intervention's name."""

    @model_validator(mode="after")
    def names_are_folders(self) -> Self:
        if not (FOLDER.fullmatch(self.base) and FOLDER.fullmatch(self.intervention)):
            raise ValueError("`base` and `intervention` name folders: use a-z, 0-9, '_', '-', '.'")
        if self.intervention == "base" and self.ratio != "0":
            raise ValueError("`base` is the model as it is, so its ratio must be 0")
        return self

    @property
    def cell(self) -> tuple[str, str, str, str]:
        return self.base, self.intervention, self.ratio, str(self.seed)

    @property
    def title(self) -> str:
        return self.label or self.intervention.replace("_", " ")
