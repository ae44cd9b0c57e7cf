"""Interventions, one module each; a new one is a module and a line here."""

from typing import get_args

from emgrid.recipes.base import Base
from emgrid.recipes.benign_only import BenignOnly
from emgrid.recipes.dilution import Dilution
from emgrid.recipes.inoculation import Inoculation
from emgrid.recipes.sequential import Sequential
from emgrid.recipes.undiluted import Undiluted

AnyIntervention = Base | BenignOnly | Undiluted | Dilution | Sequential | Inoculation
KINDS: dict[str, type] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(AnyIntervention)
}
