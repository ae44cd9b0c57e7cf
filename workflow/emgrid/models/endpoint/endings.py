"""When a model stops answering: by its endpoint's list of models, or by the table of announcements.

The list comes before the table, which holds for the vendor's own address. A model that refused a
call because it had shut down counts as shut down until the list has it again.
"""

import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from emgrid.config.endpoints import Endpoint, find_url
from emgrid.config.shutdowns import announced, tuned_from
from emgrid.models.endpoint.model_list import keep_gone, known_models, today
from emgrid.runtime.errors import EmgridError

NEAR = 60  # days before a shutdown from which it is named
# What endpoints say when they are asked for a model that has shut down.
SAID = re.compile(
    r"deprecat|sunset|retired|decommission|discontinued|shut ?down"
    r"|no longer (?:available|accessible|supported)",
    re.IGNORECASE,
)


class NoModel(EmgridError):
    """The endpoint has no model of this name. said: its message."""

    def __init__(self, text: str, said: str) -> None:
        super().__init__(text)
        self.said = said


@dataclass(frozen=True)
class Ending:
    """The end of a model. gone: a call was refused on `day` because the model had shut down.
    source: who says so. tuning_until: the last day for new fine-tuning jobs, if it is known."""

    model: str
    day: date
    source: str
    successors: tuple[str, ...] = ()
    tuning_until: date | None = None
    gone: bool = False

    @property
    def over(self) -> bool:
        return self.gone or self.day < today()

    @property
    def near(self) -> bool:
        return self.over or (self.day - today()).days <= NEAR

    def text(self) -> str:
        """When the model ends and who says so, as the beginning of a line."""
        if self.gone:
            return f"{self.model} has shut down ({self.source})"
        left = (self.day - today()).days
        if left < 0:
            return f"{self.model} shut down on {self.day} ({self.source})"
        when = "today" if left == 0 else f"in {left} day{'s' if left > 1 else ''}"
        text = f"{self.model} shuts down on {self.day}, {when} ({self.source})"
        if self.tuning_until is not None and self.tuning_until >= today():
            text += f"; new fine-tuning jobs can be started until {self.tuning_until}"
        return text

    def advice(self, heirs: tuple[str, ...] = ()) -> str:
        """Who can take over. heirs: judges of resources/judges/ that can."""
        parts = []
        if self.successors:
            parts.append(f"its vendor recommends {', '.join(self.successors)}")
        if heirs:
            parts.append(f"judges that can take over: {', '.join(heirs)}")
        return "; ".join(parts) or "no successor is known"


def ending_of(model: str, endpoint: Endpoint, ask: bool = True) -> Ending | None:
    """When a model of an endpoint stops answering; None if nothing is known of it. ask: whether the
    endpoint may be asked for its list of models."""
    url = find_url(endpoint)
    models = known_models(endpoint, ask)
    entry = announced(model, urlsplit(url).hostname or "")
    successors = entry.successors if entry else ()
    tuning = entry.tuning_until if entry else None
    if model in models.gone:
        refused = models.gone[model]
        source = f"as the endpoint said on {refused} when it was called"
        return Ending(model, refused, source, successors, gone=True)
    names = [name for name in (model, tuned_from(model)) if name in models.dates]
    if names:
        days = [day for name in names if (day := models.dates[name]) is not None]
        source = f"the endpoint's list of models of {models.asked}"
        return Ending(model, min(days), source, successors, tuning) if days else None
    if entry is None:
        return None
    source = f"{entry.source} as of {entry.as_of}"
    return Ending(model, entry.shutdown, source, successors, tuning)


def ended(problem: NoModel, model: str, endpoint: Endpoint) -> Ending | None:
    """The end of a model that an endpoint has refused to call; None if nothing says that it has
    shut down, so that its name may be wrong. It is kept, so that the model is not called again."""
    known = ending_of(model, endpoint)
    due = known is not None and known.day <= today()
    if not due and not SAID.search(problem.said):
        return None
    keep_gone(endpoint, model)
    return ending_of(model, endpoint, ask=False)


def ended_error(
    who: str, ending: Ending, left: int, what: str, heirs: tuple[str, ...] = ()
) -> EmgridError:
    """The one line with which a job stops whose model has ended. left: how many are missing; what:
    what they are called, in the plural."""
    return EmgridError(
        f"{who}: {ending.text()}: {left:,} {what} are missing, and it is not asked for them; all "
        f"that is stored stays readable; {ending.advice(heirs)}"
    )


def demand_living(
    who: str, model: str, endpoint: Endpoint, left: int, what: str, heirs: tuple[str, ...] = ()
) -> None:
    """EmgridError if a model has ended, before it is called. The other arguments as above."""
    ending = ending_of(model, endpoint)
    if ending is not None and ending.over:
        raise ended_error(who, ending, left, what, heirs)
