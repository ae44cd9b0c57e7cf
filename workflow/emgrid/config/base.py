"""The pydantic base of everything a user writes: unknown keys are refused with a suggestion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from emgrid.config.places import Misplaced, Origin, joined, origin_of
from emgrid.runtime.errors import EmgridError, suggestion

Model = TypeVar("Model", bound="Strict")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    # Fields that the specs of jobs leave out at their default, so that these identify a finished
    # grid's jobs as before the fields were there.
    LATER: ClassVar[frozenset[str]] = frozenset()

    def unused_later(self) -> set[str]:
        """The fields of LATER that are at their default."""
        fields = type(self).model_fields
        return {name for name in self.LATER if getattr(self, name) == fields[name].default}

    def plain(self) -> dict[str, Any]:
        """The fields as plain data, without those of LATER that are at their default."""
        return self.model_dump(mode="json", exclude=self.unused_later())

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    hint = suggestion(key, cls.model_fields)
                    raise Misplaced("", f"unknown key {key!r}, {hint}", key=str(key))
        return value


def read_spec(json_or_path: str) -> str:
    """Return a job's spec as JSON, given as JSON or as the path of a JSON file. Large grids pass a
    path: Linux limits one argument to 128 KiB."""
    if json_or_path.startswith("{"):
        return json_or_path
    return Path(json_or_path).read_text(encoding="utf-8")


def validate(model: type[Model], value: Any, origin: Origin | str, written: Any = None) -> Model:
    """Validate `value`; the first problem becomes one line that names its place in `origin`.

    written: the content of the user's file, if `value` was made from it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        place, point, message = first_of(problem, value if written is None else written)
        raise EmgridError(f"{origin_of(origin).at(place, point)}: {message}") from None


def validate_entry(model: type[Model], value: Any, place: str, written: Any) -> Model:
    """Validate an entry of a config before the whole config is validated. Misplaced: it is wrong.

    place: of the entry in the config. written: what the user wrote there.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        inner, point, message = first_of(problem, written)
        raise Misplaced(joined(place, inner), message, point) from None


def first_of(problem: ValidationError, file: Any) -> tuple[str, str, str]:
    """The first of pydantic's errors: its place, a key below it whose line is meant, a message.

    file: the content of the user's file.
    """
    errors = problem.errors()
    # A list whose items are all wrong is also called too short.
    errors = [error for error in errors if not any(is_below(other, error) for other in errors)]
    # A shared section is validated again inside each entry that it was filled into; the message
    # names the place where the user wrote it.
    whole = [error for error in errors if len(place_in(file, error["loc"])) == len(error["loc"])]
    error = (whole or errors)[0]
    place = ".".join(place_in(file, error["loc"]))
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Misplaced):
        return joined(place, cause.place), cause.key, cause.message
    if error["type"] == "missing":
        return joined(place, str(error["loc"][-1])), "", "is missing; give it"
    return place, "", words_of(error)


def words_of(error: Any) -> str:
    """What is wrong with a value, and what it should be."""
    wrong, message = error["input"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return str(message)
    if wrong is None and error["type"] != "none_required":
        return "is empty; give it a value, or leave the key out"
    if error["type"] in ("tuple_type", "list_type"):
        message = f"must be a list, such as [{wrong}]" if is_plain(wrong) else "must be a list"
    elif error["type"] in ("model_type", "dict_type", "model_attributes_type"):
        message = "must be a mapping of settings, `key: value`"
    # A wrong value in place of an endpoint may be its key.
    if is_plain(wrong) and "endpoint" not in error["loc"]:
        message += f" (got {wrong!r})"
    return str(message)


def is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


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
