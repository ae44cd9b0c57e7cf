"""Proposers of cues, one module each. Every module of this folder is loaded."""

import importlib
import pkgutil

from emgrid.discovery.proposers.proposer import Mutator, Proposer

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

PROPOSERS: dict[str, Proposer] = {
    kind.name: kind()
    for kind in sorted(Proposer.__subclasses__(), key=lambda kind: kind.name)  # type: ignore[type-abstract]
}
MUTATORS: dict[str, Mutator] = {
    kind.name: kind()
    for kind in sorted(Mutator.__subclasses__(), key=lambda kind: kind.name)  # type: ignore[type-abstract]
}
