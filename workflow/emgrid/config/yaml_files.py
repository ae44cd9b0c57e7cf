"""YAML files of users: no key twice, and a line for every place.

PyYAML lets the last of several equal keys win without a word, and its values have no lines. Here
files are parsed into nodes, which have lines, and then into values. Knows nothing of what a file
means.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from emgrid.runtime.errors import EmgridError

# libyaml's parser is ten times as fast; every job reads a hundred files.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> Any:
    """Parse one YAML file. EmgridError: it cannot be read, is no YAML, or has a key twice."""
    with loader_of(path) as loader:
        node = loader.get_single_node()
        if node is None:
            return None
        refuse_repeated_keys(loader, node, path)
        return loader.construct_document(node)


def read_nodes(path: Path) -> yaml.Node | None:
    """The nodes of a YAML file, which have lines; None if it is empty. Errors as above."""
    with loader_of(path) as loader:
        node: yaml.Node | None = loader.get_single_node()
        return node


@contextmanager
def loader_of(path: Path) -> Iterator[Any]:
    """A loader of a file's text. What it finds wrong is raised as an EmgridError."""
    text = text_of(path)
    try:
        loader = Loader(text)
        try:
            yield loader
        finally:
            loader.dispose()
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        if getattr(problem, "context", "") == "while scanning a simple key":
            mark = problem.context_mark  # type: ignore[attr-defined]  # the line without its colon
        what = getattr(problem, "problem", None) or problem
        if mark is None:
            raise EmgridError(f"{path}: not valid YAML ({what})") from None
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            what = "a line is indented with a tab; use spaces"
        raise EmgridError(f"{path}:{mark.line + 1}: not valid YAML ({what})") from None


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EmgridError(f"{path}: no such file") from None
    except OSError as problem:
        raise EmgridError(f"{path}: cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError as problem:
        raise EmgridError(f"{path}: not valid YAML ({problem}); save it as UTF-8") from None


def refuse_repeated_keys(loader: Any, node: yaml.Node, path: Path) -> None:
    """Raise EmgridError if a mapping below a node has a key twice. `<<` may be repeated."""
    todo, known = [(node, "")], {id(node)}  # anchors make a node stand in several places
    while todo:
        node, place = todo.pop()
        children: list[tuple[yaml.Node, str]] = []
        if isinstance(node, yaml.SequenceNode):
            children = [(item, below(place, number)) for number, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            children = distinct(loader, node, path, place)
        new = [child for child in children if id(child[0]) not in known]
        known.update(id(child) for child, _ in new)
        todo += reversed(new)


def distinct(
    loader: Any, node: yaml.MappingNode, path: Path, place: str
) -> list[tuple[yaml.Node, str]]:
    """The values of a mapping with their places. EmgridError: two of its keys are equal."""
    lines: dict[Any, int] = {}
    values = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
            continue
        name, line = loader.construct_object(key), key.start_mark.line + 1
        if name in lines:
            raise EmgridError(
                f"{path}:{line}: {below(place, name)}: the key {name!r} is given twice, first in "
                f"line {lines[name]}; leave one out"
            )
        lines[name] = line
        values.append((value, below(place, name)))
    return values


def below(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)
