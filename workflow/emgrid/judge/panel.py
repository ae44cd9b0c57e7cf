"""The judges that a config can name, one file each in resources/judges/."""

from functools import cache
from typing import Literal

from pydantic import PositiveInt, field_validator

from emgrid import RESOURCES
from emgrid.errors import EmgridError
from emgrid.strict import Strict, read_yaml, validate


class Judge(Strict):
    """A judge as data. version is raised whenever its values would change.

    head: the fitted weights, a file beside this one. gold: the column of labelled answers that
    the judge imitates.
    """

    id: str
    label: str
    kind: Literal["classifier"]
    version: PositiveInt
    head: str
    gold: str
    about: str

    @field_validator("head")
    @classmethod
    def head_is_there(cls, name: str) -> str:
        if not (RESOURCES / "judges" / name).is_file():
            raise ValueError(f"no file resources/judges/{name}")
        return name


@cache
def load_judges() -> dict[str, Judge]:
    judges = {}
    for path in sorted((RESOURCES / "judges").glob("*.yaml")):
        judge = validate(Judge, read_yaml(path), str(path.relative_to(RESOURCES)))
        if judge.id != path.stem:
            raise EmgridError(f"{path.name}: id {judge.id!r} must equal the file's name")
        judges[judge.id] = judge
    return judges
