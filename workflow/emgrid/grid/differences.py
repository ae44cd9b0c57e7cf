"""How a grid differs from the publication that it follows."""

import re
from dataclasses import asdict
from typing import Any

from emgrid.config.published import Difference
from emgrid.config.shutdowns import announcements
from emgrid.grid.counts import count
from emgrid.grid.grid import Grid


def differences(grid: Grid) -> list[Difference]:
    """The differences between the grid and the publication that it follows, if any."""
    published = grid.config.published
    if published is None:
        return []
    config = settings_of(grid)
    rows = [
        Difference(setting=key, published=say(dated(key, value)), here=say(here))
        for key, value in published.protocol.items()
        if not same(value, here := look_up(config, key))
    ]
    part = asdict(count(grid, published.interventions, published.triggers))
    for key, name in (
        ("trained", "models trained"),
        ("answers", "answers"),
        ("judge_calls", "judge calls"),
    ):
        value = getattr(published, key)
        if value is not None and value != part[key]:
            rows.append(Difference(setting=name, published=say(value), here=say(part[key])))
    added = [name for name in grid.config.interventions if name not in published.interventions]
    added_triggers = [name for name in grid.triggers if name not in published.triggers]
    for setting, names in (("added interventions", added), ("added triggers", added_triggers)):
        if names:
            rows.append(Difference(setting=setting, published="–", here=say(names)))
    return rows


def dated(setting: str, value: Any) -> Any:
    """A published panel, with the day on which the model of a judge shuts down, if announced. Any
    other value as it is."""
    if setting != "panel":
        return value
    ends = {name: entry.shutdown for entry in announcements() for name in entry.models}

    def with_day(text: str) -> str:
        return re.sub(
            r"[\w.-]+",
            lambda part: f"{part[0]}, until {day}" if (day := ends.get(part[0])) else part[0],
            text,
        )

    return [with_day(str(each)) for each in value]


def settings_of(grid: Grid) -> dict[str, Any]:
    """The whole config as plain values; `panel` lists its judges with their kinds."""
    panel = [f"{name} ({judge.made_of})" for name, judge in grid.catalogue.panel.items()]
    return grid.config.model_dump(mode="json") | {"panel": panel}


def look_up(config: Any, place: str) -> Any:
    """The value at a dotted place; KeyError if there is none.

    An intervention with a single step may be addressed without `steps.0`.
    """
    for part in place.split("."):
        if isinstance(config, dict) and part not in config and len(config.get("steps", ())) == 1:
            config = config["steps"][0]
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


def same(published: Any, here: Any) -> bool:
    """Whether two values are equal; lists in any order. A published number may count a list."""
    if isinstance(published, int) and isinstance(here, list):
        return len(here) == published
    if isinstance(published, list) and isinstance(here, list):
        return sorted(map(str, published)) == sorted(map(str, here))
    return bool(published == here)


def say(value: Any) -> str:
    """A value in words."""
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(say, value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
