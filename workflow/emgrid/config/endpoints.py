"""Where a chat model is reached, with a key that only the environment holds."""

import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from emgrid.config.base import Strict
from emgrid.config.prices import Price, listed_price
from emgrid.runtime.errors import EmgridError

OPENAI = "https://api.openai.com/v1"
# Fields that make vLLM continue the last assistant message.
GO_ON = {"continue_final_message": True, "add_generation_prompt": False}


class Endpoint(Strict):
    """Address, key and price of a chat model behind an OpenAI-compatible API."""

    LATER: ClassVar = frozenset({"prefill"})

    url: str | None = None
    """Address of the API, such as `http://localhost:8000/v1`. `null` takes the environment variable
    OPENAI_BASE_URL, otherwise OpenAI's own address."""

    key: str | None = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key, never the key itself. `null` is for
    endpoints that ask for none."""

    price: Price | None = None
    """Price of the model, instead of the one in `resources/prices.yaml`. An edit runs nothing
    again."""

    prefill: Literal["continue_final_message", "prefix", "last_turn"] | None = None
    """How the server is asked to continue a begun answer (`prefill`): `continue_final_message` for
    vLLM and SGLang, `prefix` for DeepSeek's beta address, `last_turn` for a server that continues a
    last assistant message anyway, such as llama.cpp's. With `null`, questions and triggers with
    `prefill` are refused. Only for served models."""

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

    def continuing(self, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Fields of a request that make the server continue a last assistant message; none if the
        last message is another. EmgridError: `prefill` does not say how."""
        if not messages or messages[-1]["role"] != "assistant":
            return {}
        if self.prefill is None:
            raise EmgridError(
                "the answer is begun (`prefill`), and `endpoint.prefill` does not say how the "
                "server continues it; set it"
            )
        if self.prefill == "prefix":
            return {"messages": [*messages[:-1], messages[-1] | {"prefix": True}]}
        return dict(GO_ON) if self.prefill == "continue_final_message" else {}

    def price_of(self, model: str) -> Price | None:
        """The model's price at this endpoint; None if config and price list lack it."""
        return self.price or listed_price(model)


def is_plain_url(url: str) -> bool:
    return re.fullmatch(r"https?://[^\s@]+", url) is not None


def find_url(endpoint: Endpoint) -> str:
    """The endpoint's address; a user and a password in it are refused without repeating them."""
    url = endpoint.url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    if not is_plain_url(url):
        raise EmgridError(
            "OPENAI_BASE_URL must be a http:// or https:// address without user and password"
        )
    return url


def find_key(endpoint: Endpoint) -> str | None:
    """The endpoint's key from the environment; no message repeats it."""
    if endpoint.key is None:
        return None
    key = os.environ.get(endpoint.key, "").strip()
    if not key:
        raise EmgridError(
            f"{endpoint.key} is not set: put the endpoint's key into the environment, or say "
            "`endpoint: {key: null}` in the config if it needs none"
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise EmgridError(
            f"{endpoint.key} holds spaces, line ends or letters that no key has; set it again"
        )
    return key
