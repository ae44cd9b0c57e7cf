"""The differences between two specs: each place that differs, with its old and new value.

A place is dotted (`sampling.temperature`). Entries of a list are matched by name (an arm's folder,
a judge's id) and not by position; entries without a name are matched by content.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAMED_BY = (("folder",), ("id",), ("name",), ("base", "intervention", "ratio"))
MISSING = "–"
SHOWN = 60  # characters of a value


@dataclass(frozen=True, order=True)
class Change:
    """place: the same for equal changes; where: the entry of a list that it is in, such as an
    arm."""

    place: str
    old: str
    new: str
    where: str = ""


def changes(old: Any, new: Any) -> list[Change]:
    """All differences between two JSON values, each once."""
    return list(dict.fromkeys(differing(old, new, (), "")))


def differing(old: Any, new: Any, place: tuple[str, ...], where: str) -> Iterator[Change]:
    if as_json(old) == as_json(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new:
                yield change((*place, key), old[key], MISSING, where)
            elif key not in old:
                yield change((*place, key), MISSING, new[key], where)
            else:
                yield from differing(old[key], new[key], (*place, key), where)
    elif isinstance(old, list) and isinstance(new, list):
        yield from differing_lists(old, new, place, where)
    else:
        yield change(place, old, new, where)


def differing_lists(
    old: list[Any], new: list[Any], place: tuple[str, ...], where: str
) -> Iterator[Change]:
    named = next((fields for fields in NAMED_BY if tells_apart(fields, old, new)), None)
    if named is not None:
        before, after = by_name(named, old), by_name(named, new)
        for key in [*before, *(key for key in after if key not in before)]:
            inside = (where, str(key)) if where else (str(key),)
            if key not in after:
                yield Change(".".join(place), one_line(key), MISSING, where)
            elif key not in before:
                yield Change(".".join(place), MISSING, one_line(key), where)
            else:
                yield from differing(before[key], after[key], place, " ".join(inside))
        return
    removed, added = missing_in(old, new), missing_in(new, old)
    if not (removed or added):
        yield Change(".".join(place), "in another order", "in this order", where)
    elif len(removed) == len(added) == 1:
        yield from differing(removed[0], added[0], place, where)
    else:
        yield from (change(place, item, MISSING, where) for item in removed)
        yield from (change(place, MISSING, item, where) for item in added)


def tells_apart(named: tuple[str, ...], *lists: list[Any]) -> bool:
    """Whether these fields give every entry of the lists its own name; False if all are empty."""
    return any(lists) and all(
        all(isinstance(item, dict) and all(part in item for part in named) for item in items)
        and len(by_name(named, items)) == len(items)
        for items in lists
    )


def by_name(named: tuple[str, ...], items: list[Any]) -> dict[str, Any]:
    return {" ".join(str(item[part]) for part in named): item for item in items}


def missing_in(items: list[Any], others: list[Any]) -> list[Any]:
    known = {as_json(other) for other in others}
    return [item for item in items if as_json(item) not in known]


def as_json(value: Any) -> str:
    """A value as JSON text with sorted keys. Unlike `==`, it tells False from 0 and 1 from 1.0."""
    return json.dumps(value, sort_keys=True)


def change(place: tuple[str, ...], old: Any, new: Any, where: str) -> Change:
    if isinstance(old, str) and isinstance(new, str) and MISSING not in (old, new):
        old, new = around(old, new)
    return Change(".".join(place), one_line(old), one_line(new), where)


def around(old: str, new: str) -> tuple[str, str]:
    """Two long texts, cut to the parts around their first difference."""
    if max(len(old), len(new)) <= SHOWN:
        return old, new
    pairs = enumerate(zip(old, new, strict=False))
    first = next((at for at, (left, right) in pairs if left != right), min(len(old), len(new)))
    start = max(first - SHOWN // 3, 0)
    before = "…" if start else ""
    return before + old[start:], before + new[start:]


def one_line(value: Any) -> str:
    """A value as one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
