"""The shutdown dates in an endpoint's list of models, kept in the user's cache.

An endpoint is asked at most once a day. The kept file has the models for which the list states
`shutdown_date` (a day, or null if none is announced), and the models that refused a call because
they have shut down.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from emgrid.config.endpoints import Endpoint, find_key, find_url
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import cache_folder, digest, read_json, write_json

TIMEOUT = 10.0  # seconds for the list; if it takes longer, only what is kept counts


@dataclass(frozen=True)
class ModelList:
    """What is known of an endpoint's models. asked: the day of the list; None before the first.
    dates: by model, the announced day, or None if the list says that there is none. gone: by model,
    the day on which a call was refused because the model had shut down."""

    url: str
    asked: date | None = None
    dates: dict[str, date | None] = field(default_factory=dict)
    gone: dict[str, date] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "asked": written(self.asked),
            "dates": {name: written(day) for name, day in sorted(self.dates.items())},
            "gone": {name: written(day) for name, day in sorted(self.gone.items())},
        }


def today() -> date:
    """The day in UTC, in which vendors give their dates."""
    return datetime.now(UTC).date()


def written(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def read_day(text: Any) -> date | None:
    """A day of the form YYYY-MM-DD, possibly with a time after it; None if it is none."""
    try:
        return date.fromisoformat(text[:10])
    except (TypeError, ValueError):
        return None


def kept_file(url: str) -> Path:
    return cache_folder("endpoints") / f"{digest(url)[:16]}.json"


def kept_list(url: str) -> ModelList:
    """What is kept of an endpoint's models; empty if nothing is, or if it cannot be read."""
    try:
        row = read_json(kept_file(url))
        gone = {name: read_day(day) for name, day in row["gone"].items()}
        return ModelList(
            url,
            read_day(row["asked"]),
            {name: read_day(day) for name, day in row["dates"].items()},
            {name: day for name, day in gone.items() if day is not None},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ModelList(url)


def keep(models: ModelList) -> None:
    """Store what is known; a cache that cannot be written keeps nothing."""
    try:
        write_json(kept_file(models.url), models.row())
    except OSError:
        return


def known_models(endpoint: Endpoint, ask: bool = True) -> ModelList:
    """What is known of an endpoint's models. It is asked if `ask` is set, the key is there, and it
    was not asked today. An endpoint that does not answer is asked again by the next caller."""
    kept = kept_list(find_url(endpoint))
    if not ask or kept.asked == today():
        return kept
    listed = listed_models(endpoint)
    if listed is None:
        return kept
    models = renewed(kept, listed)
    keep(models)
    return models


def listed_models(endpoint: Endpoint) -> list[dict[str, Any]] | None:
    """The models that an endpoint lists; None if there is no key or no list."""
    import httpx2 as httpx

    try:
        key = find_key(endpoint)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address = f"{find_url(endpoint).rstrip('/')}/models"
        response = httpx.get(address, headers=headers, timeout=TIMEOUT)
        response.raise_for_status()
        listed = json.loads(response.content)["data"]
    except (EmgridError, httpx.HTTPError, ValueError, TypeError, KeyError):
        return None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else None


def renewed(kept: ModelList, listed: list[dict[str, Any]]) -> ModelList:
    """The kept list with what the endpoint lists now. A model that is listed without a past date is
    back."""
    day = today()
    dates = {
        str(one.get("id")): read_day(one["shutdown_date"])
        for one in listed
        if "shutdown_date" in one
    }
    names = {str(one.get("id")) for one in listed}
    back = {name for name in names if (ends := dates.get(name)) is None or ends > day}
    gone = {name: when for name, when in kept.gone.items() if name not in back}
    return replace(kept, asked=day, dates=dates, gone=gone)


def keep_gone(endpoint: Endpoint, model: str) -> None:
    """Note that a model has shut down, as its endpoint said when it was called."""
    kept = kept_list(find_url(endpoint))
    keep(replace(kept, gone=kept.gone | {model: kept.gone.get(model, today())}))
