"""Fields of a data set's rows that nothing reads and that its entry does not name as unused.

Knows nothing of files.
"""

from typing import Any

from emgrid.data.formats import lacking, listed
from emgrid.runtime.errors import EmgridError, suggestion


def filled(value: Any) -> bool:
    """Whether a value is more than null, a blank text, or an empty list or object."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value not in ([], {})


class Unread:
    """Collects the unread fields of a file's rows that are not empty.

    All kinds of values count, numbers and lists as well as texts: neither name nor length show
    whether a field is metadata or part of the question.
    """

    def __init__(
        self, read: tuple[str, ...], unused: tuple[str, ...], prompts: tuple[str, ...]
    ) -> None:
        """prompts: the fields that form a row's prompt; empty if the rows hold messages."""
        self.read = read
        self.prompts = prompts
        self.unused = unused
        self.keys = any(name.startswith("messages.") for name in unused)
        self.fields: dict[str, int] = {}  # by name: the first line that holds something there
        self.seen: set[str] = set()
        self.first: tuple[int, dict[str, Any]] | None = None

    def add(self, line: int, row: dict[str, Any]) -> None:
        self.first = self.first or (line, row)
        self.seen |= row.keys()
        if self.keys:
            self.seen |= {f"messages.{key}" for turn in row.get("messages", ()) for key in turn}
        for name in row.keys() - self.fields.keys():
            named = name in self.read or name in self.unused
            # Rows that emgrid wrote have the line in the file that they come from.
            from_emgrid = name == "line" and not self.prompts and isinstance(row[name], int)
            if not (named or from_emgrid) and filled(row[name]):
                self.fields[name] = line

    def refuse_lacking(self, file: str) -> None:
        """Raise EmgridError for a field of the prompt that no row has; some rows may lack it."""
        for name in self.prompts:
            if self.first and name not in self.seen:
                line, row = self.first
                raise EmgridError(f"{file}:{line}: {lacking(row, name)}")

    def refuse(self, file: str) -> None:
        """Raise EmgridError for unread fields, and for a name in `unused` that no row has."""
        if self.fields:
            raise EmgridError(self.message(file))
        for name in self.unused:
            if name not in self.seen:
                hint = suggestion(name, self.seen - set(self.read) - set(self.unused))
                raise EmgridError(
                    f"{file}: `unused` names {name!r}, which no row has ({hint}); correct or "
                    "remove it"
                )

    def message(self, file: str) -> str:
        """The message that names the fields, the first row of each, and both remedies."""
        names = sorted(self.fields, key=lambda name: (self.fields[name], name))
        first = self.fields[names[0]]
        later = {name: self.fields[name] for name in names if self.fields[name] != first}
        phrases = [
            f"`{name}`" + (f" (line {later[name]})" if name in later else "") for name in names
        ]
        advice = "write what the model should see into `messages`"
        if self.prompts:
            prompt = listed([*self.prompts, names[0]])
            advice = f"add what the model should see to `fields` (such as `prompt: {prompt}`)"
        return (
            f"{file}:{first}: nothing reads {', '.join(phrases)}; {advice}, and name the rest in "
            f"the data set's entry: `unused: {listed(names)}`"
        )
