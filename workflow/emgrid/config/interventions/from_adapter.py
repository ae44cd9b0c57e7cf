"""from_adapter: an adapter that was trained elsewhere, in place of the misaligned stage."""

from typing import Literal

from emgrid.config.interventions.recipe import Recipe, Role, Shared, Step
from emgrid.config.sections import Ratio


class FromAdapter(Step):
    """Begin with an adapter of `adapters` in place of the misaligned stage. Every stage after it
    trains this adapter further."""

    kind: Literal["from_adapter"]
    adapter: str
    """The `intervention` of entries of `adapters`. Each seed goes on from the entry of the same
    base model and seed."""

    adapter_ratio: Ratio | None = None
    """The `ratio` of these entries. It is needed if they have several."""

    then: Role | None = None
    """Rows that the adapter is trained on first, `data.rows` of them: `misaligned` or `benign`.
    Without it, a later step such as `sequential` brings the first rows."""

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:
        if recipe != shared.undiluted():
            raise ValueError("comes first; put it before the other steps")
        if self.adapter_ratio is None:
            raise ValueError(f"no entry of `adapters` has the intervention {self.adapter!r}")
        return (
            Recipe(
                ratio="1" if self.then == "misaligned" else self.adapter_ratio,
                stages=(shared.stage(self.then),) if self.then else (),
                adapter=(self.adapter, self.adapter_ratio),
            ),
        )
