"""The types, ranges and defaults of a JSON schema in words. Knows nothing of pages."""

import json
from collections.abc import Callable, Iterator
from typing import Any

Node = dict[str, Any]
PLURALS = {"string": "strings", "integer": "integers", "number": "numbers", "mapping": "mappings"}
Link = Callable[[list[str]], str]


def alternatives(node: Node) -> list[Node]:
    """The forms that a key may have, however deep the schema nests them."""
    if inner := node.get("anyOf") or node.get("oneOf"):
        return [form for part in inner for form in alternatives(part)]
    return [{"const": value} for value in node["enum"]] if "enum" in node else [node]


def models_in(node: Any) -> Iterator[str]:
    """The names of all definitions that a key may hold, in the schema's order."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for key in ("anyOf", "oneOf", "items", "additionalProperties"):
            yield from models_in(node.get(key))
    elif isinstance(node, list):
        for part in node:
            yield from models_in(part)


def joined(words: list[str]) -> str:
    distinct = list(dict.fromkeys(words))
    return " or ".join(filter(None, [", ".join(distinct[:-1]), distinct[-1]]))


def literal(value: Any) -> str:
    """A value as it is written in YAML."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def bounds(node: Node) -> str:
    """The range of a number in words."""
    if "minimum" in node and "maximum" in node:
        return f"from {node['minimum']:g} to {node['maximum']:g}"
    limits = {
        "exclusiveMinimum": "above",
        "minimum": "of at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    return " and ".join(f"{word} {node[key]:g}" for key, word in limits.items() if key in node)


def type_of(node: Node, link: Link, several: bool = False) -> str:
    """The type of a key.

    link: says where the keys of definitions are, given their names. several: in the plural.
    """
    forms = alternatives(node)
    models = [form["$ref"].rpartition("/")[2] for form in forms if "$ref" in form]
    plain = [word_of(form, link, several) for form in forms if "$ref" not in form]
    last = [word for word in plain if word.startswith("list") and models]
    last += [word for word in plain if word == "`null`"]
    mapping = [f"{PLURALS['mapping'] if several else 'mapping'} {link(models)}"] if models else []
    return joined([word for word in plain if word not in last] + mapping + last)


def word_of(form: Node, link: Link, several: bool) -> str:
    """One of the types of a key."""
    if "const" in form:
        return literal(form["const"])
    match form.get("type"):
        case "null":
            return "`null`"
        case "boolean":
            return "`true` or `false`"
        case "array":
            items = type_of(form["items"], link, True) if "items" in form else "two numbers"
            return f"{'lists' if several else 'list'} of {items}"
        case "object":
            return mapping_of(form, link)
        case kind:
            name = str(form.get("format") or kind)
            named = PLURALS.get(name, name) if several else name
            return f"{named} {bounds(form)}".strip()


def mapping_of(form: Node, link: Link) -> str:
    values = form.get("additionalProperties")
    if not isinstance(values, dict):
        return "mapping"
    names = form.get("propertyNames", {}).get("enum")
    keys = joined([literal(name) for name in names]) if names else "names"
    return f"mapping from {keys} to {type_of(values, link, True)}"


def form_of(node: Node, link: Link, required: bool) -> str:
    """What a key may hold, and its default."""
    parts = [type_of(node, link)]
    if "default" not in node:
        parts += ["required"] if required else []
    elif not (any(models_in(node)) and node["default"]) and node["default"] != "":
        parts.append(f"default {literal(node['default'])}")
    return "; ".join(parts)
