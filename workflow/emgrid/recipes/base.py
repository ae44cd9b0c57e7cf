"""base: the model as it is, the control of every contrast against training."""

from typing import ClassVar, Literal

from emgrid.recipes.recipe import Intervention, Variant


class Base(Intervention):
    trained: ClassVar[bool] = False

    kind: Literal["base"]

    def variants(self) -> tuple[Variant, ...]:
        return (Variant(ratio="0", stages=()),)
