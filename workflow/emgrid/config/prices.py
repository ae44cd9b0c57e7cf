"""What endpoints charge, from resources/prices.yaml, and what a grid has spent so far."""

from datetime import date
from functools import cache
from pathlib import Path

from pydantic import NonNegativeFloat

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.places import resource
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.row_store import read_store

CHARACTERS_PER_TOKEN = 4  # of English text, roughly; for estimates alone
MILLION = 1_000_000
OLD = 60  # days after which a price is named as old


class Price(Strict):
    """Price of a model in USD."""

    input: NonNegativeFloat
    """USD per million tokens of the prompt."""

    output: NonNegativeFloat
    """USD per million tokens of the reply."""

    as_of: date | None = None
    """Date on which the price was looked up, as `YYYY-MM-DD`."""

    def of(self, prompt_tokens: int, reply_tokens: int) -> float:
        """The cost of one call in USD."""
        return (prompt_tokens * self.input + reply_tokens * self.output) / MILLION


@cache
def price_list() -> dict[str, Price]:
    entries = read_yaml(RESOURCES / "prices.yaml").items()
    origin = resource("prices.yaml")
    return {name: validate(Price, entry, origin.within(name)) for name, entry in entries}


def listed_price(model: str) -> Price | None:
    """The model's price; None if the price list lacks it.

    All models that were fine-tuned from one, ft:MODEL:ORGANISATION:SUFFIX:ID, may share the entry
    ft:MODEL.
    """
    tuned_from = ":".join(model.split(":")[:2]) if model.startswith("ft:") else model
    return price_list().get(model) or price_list().get(tuned_from)


def spent(folder: Path, pattern: str = "**/*.jsonl") -> float:
    """USD paid for what is kept below a folder, in the files that match."""
    files = sorted(folder.glob(pattern))
    return sum(row.get("cost") or 0.0 for file in files for row in read_store(file).values())
