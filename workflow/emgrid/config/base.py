"""The pydantic base of everything a user writes: unknown keys are refused with a suggestion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from emgrid.runtime.errors import EmgridError, suggestion

Model = TypeVar("Model", bound="Strict")
# libyaml's parser is ten times as fast; every job reads a hundred files.
FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(FASTEST):  # type: ignore[misc]
    """PyYAML lets the last of several equal keys win, without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}, {suggestion(key, cls.model_fields)}")
        return value


def handed(given: str) -> str:
    """A spec as a job is handed it: the JSON, or the name of the file that holds it. A command of
    Linux holds 128 KiB at most, a spec that names a thousand arms more."""
    return given if given.startswith("{") else Path(given).read_text(encoding="utf-8")


def read_yaml(path: Path) -> Any:
    """Parse one YAML file."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506
    except FileNotFoundError:
        raise EmgridError(f"{path}: no such file") from None
    except OSError as problem:
        raise EmgridError(f"{path}: cannot be read ({problem.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        where = getattr(problem, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        what = getattr(problem, "problem", None) or problem
        raise EmgridError(f"{path}{line}: not valid YAML ({what})") from None


def validate(model: type[Model], value: Any, origin: str, written: Any = None) -> Model:
    """Validate `value`; the first problem becomes one line that names its place in `origin`.

    written: what stands in the user's file, where `value` was made from it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        # A shared section is validated again inside each entry that it was filled into; the
        # problem is to be named where the user wrote it.
        file = value if written is None else written
        errors = problem.errors()
        # A list whose items are all wrong is also called too short.
        errors = [one for one in errors if not any(is_below(other, one) for other in errors)]
        whole = [one for one in errors if len(place_in(file, one["loc"])) == len(one["loc"])]
        first = (whole or errors)[0]
        place = place_in(file, first["loc"])
        if first["type"] == "missing":
            place.append(str(first["loc"][-1]))
        message = first["msg"].removeprefix("Value error, ")
        given = first["input"]
        # What stands where an endpoint should may be its key.
        secret = "endpoint" in first["loc"]
        if first["type"] != "value_error" and isinstance(given, str | int | float) and not secret:
            message += f" (got {given!r})"
        where = f"{origin}: {'.'.join(place)}" if place else origin
        raise EmgridError(f"{where}: {message}") from None


def is_below(error: Any, other: Any) -> bool:
    """Whether an error lies deeper inside the place of another one."""
    outer = other["loc"]
    return len(error["loc"]) > len(outer) and error["loc"][: len(outer)] == outer


def place_in(written: Any, location: Sequence[int | str]) -> list[str]:
    """The parts of pydantic's location that stand in the user's file.

    The others are tags of unions, levels that were filled in, and indices of a single value that
    stands for a list of one.
    """
    place = []
    for part in location:
        inside = isinstance(written, dict) and part in written
        if inside or (isinstance(written, list) and isinstance(part, int) and part < len(written)):
            written = written[part]  # type: ignore[index]
            place.append(str(part))
    return place
