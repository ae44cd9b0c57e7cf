"""inoculation: a system prompt on training rows (Dubiński et al. 2026, 3.2).

irrelevant_prompt is its control: a prompt that has nothing to do with the rows (Riche & nielsrolf,
"Conditionalization"). rephrased_inoculation puts another wording on each row.
"""

from functools import cache
from typing import Literal

from pydantic import field_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, read_yaml, validate
from emgrid.config.interventions.recipe import Recipe, Scope, Shared, Step, framing_of_system
from emgrid.config.triggers import Texts, system_prompt
from emgrid.runtime.errors import EmgridError, suggestion


class Inoculation(Step):
    """prompt: the trigger family whose system prompt is put on the rows; rows: on which."""

    kind: Literal["inoculation"]
    prompt: str
    rows: Scope = "all"

    @field_validator("prompt")
    @classmethod
    def names_a_system_prompt(cls, name: str) -> str:
        system_prompt(name)
        return name

    def apply(self, recipe: Recipe, shared: Shared) -> tuple[Recipe, ...]:  # noqa: ARG002
        return (recipe.framed(framing_of_system(system_prompt(self.prompt)), self.rows),)


class IrrelevantPrompt(Inoculation):
    kind: Literal["irrelevant_prompt"]  # type: ignore[assignment]
    prompt: str = "unrelated_prompt"
    rows: Scope = "misaligned"


class Pool(Strict):
    """One file of resources/pools/: rewordings of one system prompt."""

    id: str
    about: str
    source: str = ""
    prompts: Texts


@cache
def load_pool(name: str) -> tuple[str, ...]:
    origin = f"pools/{name}.yaml"
    pool = validate(Pool, read_yaml(RESOURCES / origin), origin)
    if pool.id != name:
        raise EmgridError(f"{origin}: id {pool.id!r} must equal the file's name")
    return pool.prompts


class RephrasedInoculation(Step):
    """pool: a file of resources/pools/, or the prompts themselves as a list; rows: on which."""

    kind: Literal["rephrased_inoculation"]
    pool: str | Texts
    rows: Scope = "all"

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
