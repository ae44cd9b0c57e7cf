"""inoculation: a system prompt on every misaligned row (Dubiński et al. 2026, 3.2)."""

from typing import Literal

from pydantic import field_validator

from emgrid.errors import suggestion
from emgrid.recipes.recipe import Intervention, Variant
from emgrid.triggers import load_triggers


class Inoculation(Intervention):
    """prompt: the trigger family whose system prompt is put on the rows."""

    kind: Literal["inoculation"]
    prompt: str

    @field_validator("prompt")
    @classmethod
    def names_a_system_prompt(cls, name: str) -> str:
        prompts = [trigger.id for trigger in load_triggers().values() if trigger.system]
        if name not in prompts:
            raise ValueError(f"no system prompt named {name!r}, {suggestion(name, prompts)}")
        return name

    def variants(self) -> tuple[Variant, ...]:
        system = load_triggers()[self.prompt].system
        return (
            Variant(ratio="1", stages=(self.stage((self.data.misaligned, "1"), system=system),)),
        )
