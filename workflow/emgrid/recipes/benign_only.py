"""benign_only: fine-tuning on benign rows alone, the control for fine-tuning at all."""

from typing import Literal

from emgrid.recipes.recipe import Intervention, Variant


class BenignOnly(Intervention):
    kind: Literal["benign_only"]

    def variants(self) -> tuple[Variant, ...]:
        return (Variant(ratio="0", stages=(self.stage((self.data.benign, "1")),)),)
