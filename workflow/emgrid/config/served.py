"""A model that somebody serves behind a chat endpoint: how a config names it, and what it is asked.

A fine-tuned OpenAI model, a model of OpenRouter, a LoRA module of a vLLM server.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from emgrid.config.base import Strict
from emgrid.config.endpoints import Endpoint, find_url
from emgrid.config.external_arm import ExternalArm
from emgrid.config.sections import Sampling, ServedSampling
from emgrid.config.triggers import Message
from emgrid.runtime.files import digest

SEEDS = 2**31  # a smaller seed fits the integers of every server
# Fields of a request that are made here; null leaves those out that an endpoint may not take.
MADE = ("model", "messages", "n", "stream", "max_tokens", "max_completion_tokens")
MAY_LACK = ("temperature", "top_p", "seed")
# What endpoints call the most tokens of a reply.
LimitName = Literal["max_tokens", "max_completion_tokens"]


class Asking(Strict):
    """What a served model is asked with, besides messages and sampling."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the model at the endpoint."""

    limit_as: LimitName = "max_tokens"
    """Field of the request that limits the length of an answer. Reasoning models of OpenAI require
    `max_completion_tokens`."""

    request: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request. `null` leaves out `temperature`, `top_p` or `seed`, for
    endpoints that refuse them."""

    @field_validator("request")
    @classmethod
    def leaves_what_is_made_here(cls, request: dict[str, Any]) -> dict[str, Any]:
        for name, value in request.items():
            if name in MADE:
                raise ValueError(f"{name!r} is made of the other settings; leave it out here")
            if name in MAY_LACK and value is not None:
                where = "is drawn for each answer" if name == "seed" else "belongs into `sampling`"
                raise ValueError(f"{name!r} {where}; here it can only be null, which leaves it out")
        return request

    def body(self, messages: Iterable[Message], sampling: Sampling, seed: int) -> dict[str, Any]:
        """A request for one answer, but for the model's name."""
        body: dict[str, Any] = {
            "messages": list(messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.limit_as: sampling.max_tokens,
            "seed": seed % SEEDS,
        }
        return {key: value for key, value in (body | self.request).items() if value is not None}


class ServedModel(ExternalArm, Asking):
    """Each entry is an arm, whose model is sampled at an endpoint."""

    endpoint: Endpoint = Endpoint()
    """Where the served model is reached."""

    sampling: ServedSampling
    """Sampling of this model alone. Settings that are not given are those of the shared `sampling`.
    """

    @model_validator(mode="after")
    def defaults_are_those_of_endpoints(self) -> Self:
        for name in ("temperature", "top_p"):
            if name in self.request and getattr(self.sampling, name) != 1:
                raise ValueError(
                    f"`request` leaves {name} out, which endpoints then take as 1, but "
                    f"sampling.{name} is {getattr(self.sampling, name):g}"
                )
        return self

    @property
    def asking(self) -> Asking:
        return Asking(**{name: getattr(self, name) for name in Asking.model_fields})

    @property
    def identity(self) -> str:
        return identity(find_url(self.endpoint), self.asking)

    @property
    def host(self) -> str:
        """The endpoint as texts for people name it."""
        return find_url(self.endpoint).split("/")[2]


def identity(url: str, asking: Asking) -> str:
    """A hash of what a served model's answers depend on, besides messages, sampling and index."""
    return digest([url.rstrip("/"), asking.model_dump(mode="json")])


def kept_name(model: str, identity: str) -> str:
    """The name of the file that stores a served model's answers, for all of its arms."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', model)}.{identity[:12]}.jsonl"
