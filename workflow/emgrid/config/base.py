"""The pydantic base of everything a user writes: unknown keys are refused with a suggestion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

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
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    # Fields that the specs of jobs leave out at their default, so that these identify a finished
    # grid's jobs as before the fields were there.
    LATER: ClassVar[frozenset[str]] = frozenset()

    def unused_later(self) -> set[str]:
        """The fields of LATER that are at their default."""
        fields = type(self).model_fields
        return {name for name in self.LATER if getattr(self, name) == fields[name].default}

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}, {suggestion(key, cls.model_fields)}")
        return value


def read_spec(json_or_path: str) -> str:
    """Return a job's spec as JSON, given as JSON or as the path of a JSON file. Large grids pass a
    path: Linux limits one argument to 128 KiB."""
    if json_or_path.startswith("{"):
        return json_or_path
    return Path(json_or_path).read_text(encoding="utf-8")


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

    written: the content of the user's file, if `value` was made from it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        # A shared section is validated again inside each entry that it was filled into; the
        # message names the place where the user wrote it.
        file = value if written is None else written
        errors = problem.errors()
        # A list whose items are all wrong is also called too short.
        errors = [error for error in errors if not any(is_below(other, error) for other in errors)]
        whole = [
            error for error in errors if len(place_in(file, error["loc"])) == len(error["loc"])
        ]
        first = (whole or errors)[0]
        place = place_in(file, first["loc"])
        if first["type"] == "missing":
            place.append(str(first["loc"][-1]))
        message = first["msg"].removeprefix("Value error, ")
        wrong = first["input"]
        # A wrong value in place of an endpoint may be its key.
        secret = "endpoint" in first["loc"]
        if first["type"] != "value_error" and isinstance(wrong, str | int | float) and not secret:
            message += f" (got {wrong!r})"
        where = f"{origin}: {'.'.join(place)}" if place else origin
        raise EmgridError(f"{where}: {message}") from None


def is_below(error: Any, other: Any) -> bool:
    """Whether an error's place is inside that of another one."""
    outer = other["loc"]
    return len(error["loc"]) > len(outer) and error["loc"][: len(outer)] == outer


def place_in(written: Any, location: Sequence[int | str]) -> list[str]:
    """The parts of pydantic's location that are in the user's file.

    The others are tags of unions, levels that were filled in, and indices of a single value that
    is read as a list of one.
    """
    place = []
    for part in location:
        inside = isinstance(written, dict) and part in written
        if inside or (isinstance(written, list) and isinstance(part, int) and part < len(written)):
            written = written[part]  # type: ignore[index]
            place.append(str(part))
    return place
