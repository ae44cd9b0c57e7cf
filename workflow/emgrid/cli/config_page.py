"""Write the page of all keys of the config, from the JSON schema that editors use.

    python -m emgrid.cli.config_page > docs/config.md

Reads the schema alone: what a key means is said by the docstring under its field.
"""

import re
import textwrap

from emgrid.config.json_schema import schema
from emgrid.config.schema_words import Node, form_of, models_in

WIDTH = 100
DEEPEST = 5  # level of headings
HEAD = """# The config

One YAML file describes a grid. This page lists all its keys. The default grid, `config.yaml`, shows
most of them in use. A file with `extends: config.yaml` gives only what differs, so keys that are
required may come from the file below. Editors with a YAML language server show these texts if the
first line of the file names the schema, by its path relative to the file:

```yaml
# yaml-language-server: $schema=workflow/schemas/config.schema.json
```

For some keys this page says what an edit runs again; `emgrid why` lists it for your grid before
anything runs. The page is generated from the docstrings of the config's fields
(`python -m emgrid.cli.config_page`).
"""
# Their keys are filled in from a shared section, so none has to be given.
FILLED = ("Intervention", "ServedSampling")
# Keys that may be left out although they have no default.
OPTIONAL = ("extends", "sampling")


def title_of(name: str, model: Node) -> str:
    """The name of one of several forms of an entry: its kind, or its class in words."""
    kind: str | None = model["properties"].get("kind", {}).get("const")
    return f"`{kind}`" if kind else " ".join(re.findall("[A-Z][a-z]+", name)).lower()


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z`])", text)


class Page:
    """The sections of the page, written one after the other.

    homes: the heading under which a definition's keys are listed, by the definition's name.
    """

    def __init__(self, whole: Node) -> None:
        self.definitions: dict[str, Node] = whole["$defs"]
        self.homes: dict[str, str] = {}
        self.here = ""
        self.lines = [HEAD]
        self.find_homes("", whole["properties"])
        for key, node in whole["properties"].items():
            text = f"[`{key}`](#{anchor(key)}): {sentences(node['description'])[0]}"
            self.lines.append(f"- {wrapped(text, '  ').lstrip()}")
        for key, node in whole["properties"].items():
            self.top_section(key, node)

    def find_homes(self, path: str, properties: Node) -> None:
        """Find the place of each definition: the first key that holds it, those of this level
        before those that are nested deeper."""
        nested: list[tuple[str, str]] = []
        for key, node in properties.items():
            place = f"{path}.{key}" if path else key
            names = [name for name in dict.fromkeys(models_in(node)) if name not in self.homes]
            for name in names:
                alone = len(names) == 1 or name == "Intervention"
                form = "" if alone else f": {title_of(name, self.definitions[name])}"
                self.homes[name] = f"`{place}`{form}"
                nested.append((place, name))
        for place, name in nested:
            self.find_homes(place, self.keys_of(name))

    def keys_of(self, name: str) -> Node:
        """A definition's keys; of an intervention, those that are not its single step's."""
        properties = self.definitions[name]["properties"]
        if name != "Intervention":
            return dict(properties)
        steps = [self.definitions[step] for step in models_in(properties["steps"])]
        inside = {key for step in steps for key in step["properties"]}
        return {key: node for key, node in properties.items() if key not in inside}

    def top_section(self, key: str, node: Node) -> None:
        """A key of the config, then the keys of what it holds."""
        self.here = f"`{key}`"
        self.lines += ["", f"## `{key}`", ""]
        names = self.listed_at(key, node)
        text = sentences(node["description"])
        if len(names) == 1:
            entry = sentences(self.definitions[names[0]]["description"])
            text += [sentence for sentence in entry if sentence not in text]
        form = form_of(node, self.link, key not in OPTIONAL)
        self.lines += [wrapped(" ".join(text)), "", wrapped(f"{form[0].upper()}{form[1:]}.")]
        self.entries(names, key, 2)

    def listed_at(self, path: str, node: Node) -> list[str]:
        """The definitions whose keys are listed at a key."""
        here = (f"`{path}`", f"`{path}`:")
        names = dict.fromkeys(models_in(node))
        return [name for name in names if self.homes[name].startswith(here)]

    def entries(self, names: list[str], path: str, level: int) -> None:
        """The keys of the definitions that are listed at one place."""
        forms = [name for name in names if ": " in self.homes[name]]
        shared = self.shared_keys(forms)
        for name in names:
            if name not in forms:
                self.keys(name, path, level)
        if shared:
            self.lines += ["", "Every form has these keys:", ""]
            properties = self.definitions[forms[0]]["properties"]
            self.lines += [
                self.item(key, node, "default" not in properties[key])
                for key, node in shared.items()
            ]
        for name in forms:
            self.here = self.homes[name]
            self.lines += ["", f"{'#' * (level + 1)} {self.here}", ""]
            self.lines.append(wrapped(self.definitions[name]["description"]))
            self.keys(name, path, level + 1, tuple(shared))

    def shared_keys(self, forms: list[str]) -> Node:
        """The keys that all forms of an entry have with one meaning."""
        properties = [self.definitions[name]["properties"] for name in forms]
        shared = {}
        for key, node in properties[0].items() if properties else ():
            nodes = [other.get(key, {}) for other in properties]
            if len({other.get("description") for other in nodes}) > 1:
                continue
            kinds = [other["const"] for other in nodes if "const" in other]
            constraints = {name: node[name] for name in node if name not in ("const", "default")}
            shared[key] = constraints | {"enum": kinds} if kinds else node
        return shared

    def keys(self, name: str, path: str, level: int, without: tuple[str, ...] = ()) -> None:
        """The keys of a definition as a list, then those of what they hold."""
        keys = {key: node for key, node in self.keys_of(name).items() if key not in without}
        self.lines += [""] if keys else []
        self.lines += [self.item(key, node, name not in FILLED) for key, node in keys.items()]
        for key, node in keys.items():
            below = f"{path}.{key}"
            names = [] if f"`{below}`" in self.headings() else self.listed_at(below, node)
            if names:
                self.here = f"`{below}`"
                depth = min(level + 1, DEEPEST)
                self.lines += ["", f"{'#' * depth} {self.here}", ""]
                alone = self.definitions[names[0]] if len(names) == 1 else node
                self.lines.append(wrapped(alone["description"]))
                self.entries(names, below, depth)

    def headings(self) -> set[str]:
        return {line.lstrip("# ") for line in self.lines if line.startswith("#")}

    def item(self, key: str, node: Node, required: bool = True) -> str:
        form = form_of(node, self.link, required and key not in OPTIONAL)
        first = wrapped(f"**`{key}`**: {form}.", "  ").lstrip()
        return f"- {first}\n{wrapped(node['description'], '  ')}"

    def link(self, names: list[str]) -> str:
        """Where the keys of definitions are listed, as seen from the current heading."""
        homes = list(dict.fromkeys(self.homes[name].partition(":")[0] for name in names))
        if homes == [self.here]:
            return "with the keys below"
        return "as in " + " or ".join(f"[{home}](#{anchor(home)})" for home in homes)


def page() -> str:
    return "\n".join(Page(schema()).lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
