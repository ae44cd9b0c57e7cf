"""Files of a user's project that take the place of those of resources/.

A name that ends like a file is the path of one, relative to the folder in which Snakemake is
started.
"""

from pathlib import Path
from typing import Any

from emgrid.config.places import Origin
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path

YAML = (".yaml", ".yml")


def is_path(name: Any, endings: tuple[str, ...] = YAML) -> bool:
    """Whether a name is the path of a file, and not a name in resources/."""
    return isinstance(name, str) and name.endswith(endings)


def find(name: str, what: str) -> Path:
    """The path of a user's file. EmgridError if it is not there. what: it is to be."""
    path = users_path(name)
    if not path.is_file():
        raise EmgridError(f"no {what} at {name!r}; looked for {path.absolute()}")
    return path


def read_mapping(name: str, what: str) -> tuple[dict[str, Any], Origin]:
    """A user's YAML file, with the file's name as `id` unless it gives one, and its origin."""
    path = find(name, what)
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise EmgridError(f"{name}: a {what} must be a mapping of settings")
    return {"id": path.stem} | value, Origin(name, ((name, path.absolute()),))
