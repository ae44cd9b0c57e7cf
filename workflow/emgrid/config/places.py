"""Where a setting was written: file, line and place, for messages.

A file is parsed again to find a line, only when there is something to say. Computes no values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from emgrid import RESOURCES
from emgrid.config.yaml_files import read_nodes
from emgrid.runtime.errors import EmgridError

# Sections of a config that an extending config replaces as a whole.
REPLACED = ("interventions",)


class Misplaced(ValueError):
    """A problem of something below the model that finds it.

    place: dotted, from that model on. key: below the place, its line is meant.
    """

    def __init__(self, place: str, message: str, key: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place, self.message, self.key = place, message, key


@dataclass(frozen=True)
class Origin:
    """The files that settings were written in.

    name: how messages call the settings as a whole. files: their paths by the names in messages,
    each followed by the file that it extends. inside: the place of the settings in the files.
    """

    name: str
    files: tuple[tuple[str, Path], ...] = ()
    inside: str = ""

    def __str__(self) -> str:
        return self.at()

    def within(self, place: str) -> "Origin":
        """The origin of the settings at a place of these ones."""
        return Origin(self.name, self.files, joined(self.inside, place))

    def at(self, place: str = "", point: str = "") -> str:
        """`file:line: place`. point: a key below the place, whose line is meant."""
        whole = joined(self.inside, place)
        found = self.found(joined(whole, point))
        where = f"{found[0]}:{found[1]}" if found else self.name
        return f"{where}: {whole}" if whole else where

    def error(self, place: str, message: object) -> EmgridError:
        """An error that names a place."""
        return EmgridError(f"{self.at(place)}: {message}")

    def found(self, place: str) -> tuple[str, int] | None:
        """The file and line of a place or, if nothing is written there, of what it would be in."""
        if not place:
            return None
        best: tuple[int, str, int] | None = None
        for name, path in self.files:
            try:
                node = read_nodes(path)
            except EmgridError:
                continue
            steps = list(lines_down(node, place)) if node else []
            if steps and (best is None or len(steps) > best[0]):
                best = (len(steps), name, steps[-1])
            # What an extended file says here is not in the whole config.
            if len(steps) > 1 or (steps and place.split(".")[0] in REPLACED):
                break
        return best and best[1:]


def origin_of(origin: Origin | str) -> Origin:
    """An origin; of a name alone, one without lines."""
    return origin if isinstance(origin, Origin) else Origin(origin)


def resource(name: str) -> Origin:
    """The origin of a file of resources/, which messages call by its name there."""
    return Origin(name, ((name, RESOURCES / name),))


def joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def lines_down(node: yaml.Node, place: str) -> Iterator[int]:
    """The lines of the keys and items on the way to a dotted place, as far as they are written.

    Names may have dots, so the longest key that fits is followed. In a list, a part is an item's
    index, its value, or its `id`.
    """
    if isinstance(node, yaml.MappingNode):
        fitting = [
            (key.value, key, value)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode) and begins(place, key.value)
        ]
        if fitting:
            name, key, value = max(fitting, key=lambda found: len(found[0]))
            yield key.start_mark.line + 1
            yield from lines_down(value, place[len(name) + 1 :])
    elif isinstance(node, yaml.SequenceNode):
        part, _, rest = place.partition(".")
        for number, item in enumerate(node.value):
            if part and part in (str(number), name_of(item)):
                yield item.start_mark.line + 1
                yield from lines_down(item, rest)
                return


def begins(place: str, key: str) -> bool:
    return bool(key) and (place == key or place.startswith(f"{key}."))


def name_of(item: yaml.Node) -> str | None:
    """What messages call an item of a list by: its value, or its `id`."""
    if isinstance(item, yaml.ScalarNode):
        return str(item.value)
    if isinstance(item, yaml.MappingNode):
        ids = [value.value for key, value in item.value if key.value == "id"]
        return str(ids[0]) if ids else None
    return None
