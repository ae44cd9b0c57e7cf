"""dilution: misaligned rows mixed into benign ones, the total fixed (Dubiński et al. 2026, 2.2)."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from emgrid.recipes.recipe import Intervention, Variant
from emgrid.settings import Ratio, listed, ratio_text


class Dilution(Intervention):
    """ratio: share of misaligned rows, one value or a list."""

    kind: Literal["dilution"]
    ratio: Annotated[tuple[Ratio, ...], BeforeValidator(listed), Field(min_length=1)]

    def variants(self) -> tuple[Variant, ...]:
        return tuple(self.variant(ratio) for ratio in dict.fromkeys(self.ratio))

    def variant(self, ratio: str) -> Variant:
        rest = ratio_text(str(1 - Decimal(ratio)))
        mix = self.stage((self.data.misaligned, ratio), (self.data.benign, rest))
        return Variant(ratio=ratio, stages=(mix,))
