"""What is said of the models that a grid calls before it calls any: which will stop answering, or
have stopped, and whose prices are old."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emgrid.config.endpoints import Endpoint
from emgrid.config.judges import ChatJudge
from emgrid.config.prices import OLD
from emgrid.config.served import kept_name
from emgrid.grid.grid import Grid
from emgrid.judge.succession import heirs
from emgrid.models.endpoint.endings import Ending, ending_of
from emgrid.models.endpoint.model_list import today
from emgrid.runtime import layout


@dataclass(frozen=True)
class Called:
    """A model that the grid calls. who: its judge or arm. stored: the files of what it has said, as
    a pattern below the grid's folder."""

    who: str
    model: str
    endpoint: Endpoint
    stored: str
    heirs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Notice:
    """The end of a model that the grid calls. lost: the model has ended and nothing of it is
    stored, so that the grid cannot be run with it."""

    called: Called
    ending: Ending
    lost: bool

    @property
    def text(self) -> str:
        ending = self.ending
        line = f"{self.called.who}: {ending.text()}"
        if ending.over:
            line += "; what is stored stays readable, and what is missing cannot be asked for"
        return f"{line}; {ending.advice(self.called.heirs)}"


def called_models(grid: Grid) -> Iterator[Called]:
    """Every judge and every served model that the grid calls at an endpoint."""
    names = [name for generated in grid.generated for name in grid.keep_judges(generated)]
    known = grid.catalogue.judges
    for name in dict.fromkeys([*grid.catalogue.panel, *names]):
        judge = known[name]
        if isinstance(judge, ChatJudge):
            stored = f"{layout.STORED_JUDGEMENTS}/{name}.*/*.jsonl"
            yield Called(f"judge {name}", judge.model, judge.endpoint, stored, heirs(judge))
    for arm in grid.config.served:
        stored = f"{layout.STORED_SERVED}/{kept_name(arm.model, arm.identity)}"
        yield Called(f"served arm {arm.title}", arm.model, arm.endpoint, stored)


def notices(grid: Grid, root: Path) -> list[Notice]:
    """The models that have ended or are near their end. root: the grid's folder."""
    found = []
    for called in called_models(grid):
        ending = ending_of(called.model, called.endpoint)
        if ending is not None and ending.near:
            lost = ending.over and not any(root.glob(called.stored))
            found.append(Notice(called, ending, lost))
    return found


def old_prices(grid: Grid) -> list[str]:
    """A line for each model whose price is more than OLD days old."""
    callers: dict[str, list[str]] = {}
    for called in called_models(grid):
        price = called.endpoint.price_of(called.model)
        if price is not None and price.as_of is not None and (today() - price.as_of).days > OLD:
            line = (
                f"the price of {called.model} is of {price.as_of}, "
                f"{(today() - price.as_of).days} days ago"
            )
            callers.setdefault(line, []).append(called.who)
    return [
        f"{', '.join(names)}: {line}; look it up, and write it with its day into "
        "resources/prices.yaml or into the endpoint's `price`"
        for line, names in callers.items()
    ]
