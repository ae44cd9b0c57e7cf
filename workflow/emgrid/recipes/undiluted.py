"""undiluted: fine-tuning on misaligned rows alone, what every intervention is measured against."""

from typing import Literal

from emgrid.recipes.recipe import Intervention, Variant


class Undiluted(Intervention):
    kind: Literal["undiluted"]

    def variants(self) -> tuple[Variant, ...]:
        return (Variant(ratio="1", stages=(self.stage((self.data.misaligned, "1")),)),)
