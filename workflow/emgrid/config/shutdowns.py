"""Models whose vendor has announced when they stop answering: resources/shutdowns.yaml."""

from datetime import date
from functools import cache

from pydantic import TypeAdapter

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.places import resource
from emgrid.config.yaml_files import read_yaml

FILE = "shutdowns.yaml"


class Shutdown(Strict):
    """One announcement. See the head of the file for the fields."""

    models: tuple[str, ...]
    host: str
    shutdown: date
    fine_tunes: bool = False
    tuning_until: date | None = None
    successors: tuple[str, ...] = ()
    source: str
    as_of: date


@cache
def announcements() -> tuple[Shutdown, ...]:
    entries = TypeAdapter(list[dict[str, object]]).validate_python(read_yaml(RESOURCES / FILE))
    origin = resource(FILE)
    return tuple(
        validate(Shutdown, entry, origin.within(str(number)))
        for number, entry in enumerate(entries)
    )


def tuned_from(model: str) -> str | None:
    """The model that another one was fine-tuned from, by OpenAI's names (ft:MODEL:ORGANISATION…);
    None if it is not such a name."""
    parts = model.split(":")
    return parts[1] if parts[0] == "ft" and len(parts) > 1 else None


def announced(model: str, host: str) -> Shutdown | None:
    """What the vendor at this host has announced of a model, or of the one it was tuned from."""
    base = tuned_from(model)
    for entry in announcements():
        tuned = entry.fine_tunes and base in entry.models
        if entry.host == host and (model in entry.models or tuned):
            return entry
    return None
