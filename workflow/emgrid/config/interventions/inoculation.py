"""inoculation: a system prompt on training rows (Dubiński et al. 2026, 3.2).

irrelevant_prompt is its control: a prompt that has nothing to do with the rows (Riche & nielsrolf,
"Conditionalization"). rephrased_inoculation puts another wording on each row.
"""

from functools import cache
from typing import Literal

from pydantic import field_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.interventions.recipe import Recipe, Scope, Shared, Step, framing_of_system
from emgrid.config.places import resource
from emgrid.config.triggers import Texts, system_prompt
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError, suggestion


class Inoculation(Step):
    """Put a system prompt on training rows."""

    kind: Literal["inoculation"]
    prompt: str
    """Trigger family whose system prompt is put on the rows."""

    rows: Scope = "all"
    """Which rows get the system prompt."""

    @field_validator("prompt")
    @classmethod
    def names_a_system_prompt(cls, name: str) -> str:
        system_prompt(name)
        return name

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return (recipe.framed(framing_of_system(system_prompt(self.prompt)), self.rows),)


class IrrelevantPrompt(Inoculation):
    """Put a system prompt on the rows that has nothing to do with them: the control for
    inoculation."""

    kind: Literal["irrelevant_prompt"]  # type: ignore[assignment]
    prompt: str = "unrelated_prompt"
    rows: Scope = "misaligned"


class Pool(Strict):
    """One file of `resources/pools/`: rewordings of one system prompt."""

    id: str
    """Name of the pool, which is the file's name without its ending."""

    about: str
    """What the rewordings have in common, in a sentence for readers."""

    source: str = ""
    """Where the rewordings come from."""

    prompts: Texts
    """The rewordings."""


@cache
def load_pool(name: str) -> tuple[str, ...]:
    origin = f"pools/{name}.yaml"
    pool = validate(Pool, read_yaml(RESOURCES / origin), resource(origin))
    if pool.id != name:
        raise EmgridError(f"{origin}: id {pool.id!r} must equal the file's name")
    return pool.prompts


class RephrasedInoculation(Step):
    """Put another wording of a system prompt on each row."""

    kind: Literal["rephrased_inoculation"]
    pool: str | Texts
    """Name of a file in `resources/pools/`, or the wordings themselves as a list."""

    rows: Scope = "all"
    """Which rows get a wording."""

    @field_validator("pool")
    @classmethod
    def is_there(cls, pool: str | tuple[str, ...]) -> str | tuple[str, ...]:
        known = [path.stem for path in (RESOURCES / "pools").glob("*.yaml")]
        if isinstance(pool, str) and pool not in known:
            raise ValueError(f"no pool of prompts named {pool!r}, {suggestion(pool, known)}")
        return pool

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        prompts = load_pool(self.pool) if isinstance(self.pool, str) else self.pool
        return (recipe.framed(framing_of_system(*prompts), self.rows),)
