"""The cell of the grid that an arm takes which is not trained here."""

import re
from typing import Self

from pydantic import NonNegativeInt, model_validator

from emgrid.config.base import Strict
from emgrid.config.sections import Ratio

FOLDER = re.compile(r"[a-z0-9][a-z0-9_.\-]*")


class Point(Strict):
    """base, intervention and ratio: as others trained the model; the intervention `base` is the
    model as it was before, the control. label: instead of the intervention's name."""

    base: str
    intervention: str
    ratio: Ratio
    seed: NonNegativeInt = 0
    label: str | None = None

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
