"""sequential: benign fine-tuning after the misaligned stage (Dubiński et al. 2026, 2.3)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from emgrid.recipes.recipe import Intervention, Variant
from emgrid.settings import listed


class Sequential(Intervention):
    """benign_rows: rows of the second stage, one value or a list; each becomes an intervention."""

    kind: Literal["sequential"]
    benign_rows: Annotated[tuple[PositiveInt, ...], BeforeValidator(listed), Field(min_length=1)]

    def variants(self) -> tuple[Variant, ...]:
        first = self.stage((self.data.misaligned, "1"))
        return tuple(
            Variant(
                suffix=f"-{rows}",
                ratio="1",
                stages=(first, self.stage((self.data.benign, "1"), rows=rows)),
            )
            for rows in dict.fromkeys(self.benign_rows)
        )
