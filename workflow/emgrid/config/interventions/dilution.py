"""dilution: misaligned rows mixed into benign ones, the total fixed (Dubiński et al. 2026, 2.2)."""

from decimal import Decimal
from typing import Literal

from emgrid.config.interventions.recipe import Mixture, Recipe, Shared, Source, Step
from emgrid.config.sections import Ratios, ratio_text


class Dilution(Step):
    """Mix misaligned rows into benign ones, with a fixed total. Only stages of misaligned rows
    alone are diluted."""

    kind: Literal["dilution"]
    ratio: Ratios
    """Share of misaligned rows, from 0 to 1, or a list of shares. The rows of a smaller share are
    among those of a larger one."""

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        if not any(is_undiluted(stage) for stage in recipe.stages):
            raise ValueError("finds no stage of misaligned rows alone")
        return tuple(
            recipe.model_copy(
                update={
                    "ratio": ratio,
                    "stages": tuple(diluted(stage, ratio, shared) for stage in recipe.stages),
                }
            )
            for ratio in self.ratio
        )


def is_undiluted(mixture: Mixture) -> bool:
    return all(source.role == "misaligned" for source in mixture.sources)


def diluted(mixture: Mixture, ratio: str, shared: Shared) -> Mixture:
    if not is_undiluted(mixture):
        return mixture
    rest = ratio_text(str(1 - Decimal(ratio)))
    bad = [source.model_copy(update={"share": ratio}) for source in mixture.sources]
    benign = Source(dataset=shared.data.benign, share=rest, role="benign")
    return mixture.model_copy(update={"sources": (*bad, benign)})
