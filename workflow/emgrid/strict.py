"""The pydantic base of everything a user writes: unknown keys are refused with a suggestion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from emgrid.errors import EmgridError, suggestion

Model = TypeVar("Model", bound="Strict")


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


def read_yaml(path: Path) -> Any:
    """Parse one YAML file."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EmgridError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        where = getattr(problem, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        what = getattr(problem, "problem", None) or problem
        raise EmgridError(f"{path}{line}: not valid YAML ({what})") from None


def validate(model: type[Model], value: Any, origin: str, tagged: Sequence[str] = ()) -> Model:
    """Validate `value`; the first problem becomes one line that names its place in `origin`.

    tagged: top-level keys whose entries are tagged unions, where pydantic's location has one
    part (the tag) that does not stand in the user's file.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = [str(part) for part in first["loc"]]
        if place and place[0] in tagged:
            del place[2:3]
        message = first["msg"].removeprefix("Value error, ")
        given = first["input"]
        if first["type"] != "value_error" and isinstance(given, str | int | float):
            message += f" (got {given!r})"
        where = f"{origin}: {'.'.join(place)}" if place else origin
        raise EmgridError(f"{where}: {message}") from None
