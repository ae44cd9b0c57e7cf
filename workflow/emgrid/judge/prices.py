"""What endpoints charge, from resources/prices.yaml, and what a grid has spent so far."""

import re
from datetime import date
from functools import cache
from pathlib import Path

from pydantic import NonNegativeFloat, field_validator

from emgrid import RESOURCES
from emgrid.rows import read_kept
from emgrid.strict import Strict, read_yaml, validate

CHARACTERS_PER_TOKEN = 4  # of English text, roughly; for estimates alone
MILLION = 1_000_000


class Price(Strict):
    """USD per million tokens of the prompt (input) and of the reply (output)."""

    input: NonNegativeFloat
    output: NonNegativeFloat
    as_of: date | None = None

    def of(self, prompt_tokens: int, reply_tokens: int) -> float:
        """The cost of one call in USD."""
        return (prompt_tokens * self.input + reply_tokens * self.output) / MILLION


class Endpoint(Strict):
    """Where a chat model is reached.

    url: of the API, such as http://localhost:8000/v1; without one, OPENAI_BASE_URL or OpenAI
    itself. key: the environment variable that holds the key; null where none is asked for.
    price: instead of the one in resources/prices.yaml.
    """

    url: str | None = None
    key: str | None = "OPENAI_API_KEY"
    price: Price | None = None

    @field_validator("key")
    @classmethod
    def key_names_a_variable(cls, name: str | None) -> str | None:
        # The message must not repeat what may be the key itself.
        if name is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(
                "this is not the name of an environment variable, such as OPENAI_API_KEY; the key "
                "itself belongs into the environment and into no file"
            )
        return name

    @field_validator("url")
    @classmethod
    def url_holds_no_secret(cls, url: str | None) -> str | None:
        if url is not None and not is_plain_url(url):
            raise ValueError("must be a http:// or https:// address without user and password")
        return url


def is_plain_url(url: str) -> bool:
    return re.fullmatch(r"https?://[^\s@]+", url) is not None


@cache
def price_list() -> dict[str, Price]:
    entries = read_yaml(RESOURCES / "prices.yaml").items()
    return {name: validate(Price, entry, f"prices.yaml: {name}") for name, entry in entries}


def price_of(model: str, endpoint: Endpoint) -> Price | None:
    """The model's price, None where nobody has written it down."""
    return endpoint.price or price_list().get(model)


def spent(kept: Path, judge: str = "*") -> float:
    """USD paid for the judgements that are kept below a folder, of one judge or of all."""
    files = sorted(kept.glob(f"{judge}.*/*.jsonl"))
    return sum(row.get("cost") or 0.0 for file in files for row in read_kept(file).values())
