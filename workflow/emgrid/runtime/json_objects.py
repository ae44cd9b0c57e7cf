"""JSON objects of untrusted files: each with its own keys, or one line that says what is wrong."""

import json
from collections.abc import Callable
from typing import Any

from emgrid.runtime.errors import EmgridError

Row = dict[str, Any]


def parse_object(
    line: bytes, where: str, of_list: Callable[[list[Any], str], str] = lambda *_: "a list"
) -> Row:
    """The JSON object of a line, with its own keys alone; EmgridError, from `where`, if none.

    of_list: what a list in its place is, in words, given the list and the file's name.
    """
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=keys_once)
    except UnicodeDecodeError as problem:
        raise EmgridError(f"{where}: not UTF-8 (byte {problem.start + 1})") from None
    except RecursionError:
        raise EmgridError(f"{where}: not JSON (nested too deeply)") from None
    except KeyTwice as problem:
        raise EmgridError(f"{where}: {problem}") from None
    except ValueError as problem:
        what = getattr(problem, "msg", problem)
        raise EmgridError(f"{where}: not JSON ({what})") from None
    if isinstance(value, list):
        way = of_list(value, where.rpartition(":")[0])
        raise EmgridError(f"{where}: a row must be a JSON object; this is {way}")
    if not isinstance(value, dict):
        raise EmgridError(f"{where}: a row must be a JSON object")
    return value


class KeyTwice(ValueError):
    """A key that occurs twice in one JSON object."""


def keys_once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object. Raises KeyTwice for a repeated key, where json.loads keeps the last value."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in fields if keys.count(key) > 1)
        raise KeyTwice(f"the key {twice!r} occurs twice in one object; rename or drop one")
    return fields
