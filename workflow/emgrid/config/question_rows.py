"""Questions of a file of JSON lines: each row is a question of an own set, with its `id`.

A row without `id` gets its line. Keys that the config decides are not used and named in the report.
"""

from functools import cache
from pathlib import Path
from typing import Any

from emgrid.config.base import validate
from emgrid.config.question_keys import DECIDED, DESCRIBING, unused
from emgrid.config.questions import Question, QuestionSet
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.json_objects import parse_object


@cache
def read_question_rows(path: Path, name: str) -> QuestionSet:
    """The questions of a file; messages name it `name`. Raises EmgridError with file and line."""
    questions: dict[str, Question] = {}
    read: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{name}:{number}"
            row = parse_object(line, where)
            key = str(row.get("id", f"line-{number}"))
            if key in questions:
                raise EmgridError(f"{where}: id {key!r} is listed twice")
            asked = {
                field: value
                for field, value in row.items()
                if field != "id" and field not in DECIDED and field not in DESCRIBING
            }
            questions[key] = validate(Question, asked, where)
            read.append(row)
    if not questions:
        raise EmgridError(f"{name}: holds no question")
    return QuestionSet(questions, unused=unused(read))
