"""perplexity_gap: benign rows that a misaligned model finds least likely (Kaczér et al. 2026, arXiv
2508.06249, Interleaving++).

They choose the rows to interleave by the gap in perplexity between an aligned and a misaligned
model. The details were not found out. Decided here: the aligned model is the arm's base model, the
misaligned one is trained on the misaligned rows alone, with the arm's seed and settings, and the
gap is the difference of the mean log-probability per token of the assistant's turns.
"""

from typing import Literal

from pydantic import PositiveInt

from emgrid.config.interventions.recipe import Recipe, Selection, Shared, Source, Step


class PerplexityGap(Step):
    """Choose the benign rows by likelihood: those that a model trained on the misaligned rows alone
    finds unlikely in comparison with the base model."""

    kind: Literal["perplexity_gap"]
    candidates: PositiveInt | None = None
    """Number of benign rows, drawn at random, that are scored. `null` scores the whole data set."""

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        def choose(source: Source) -> Source:
            if source.generation is not None:
                raise ValueError(f"{source.dataset}: the rows are generated, so none are chosen")
            return source.model_copy(
                update={
                    "selection": Selection(
                        dataset=source.dataset,
                        candidates=self.candidates,
                        precision=shared.sampling.precision,
                        misaligned=shared.stage("misaligned"),
                    )
                }
            )

        return (recipe.with_sources(choose, "benign"),)
