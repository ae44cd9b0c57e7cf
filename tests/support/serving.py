"""What the tests of served models share: sampled texts, a model at the fake endpoint, its job."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emgrid.config.endpoints import Endpoint
from emgrid.config.prices import Price
from emgrid.config.sections import Calls, Sampling
from emgrid.config.served import Asking
from emgrid.models.endpoint.ledger import Ledger
from emgrid.models.engines import Completion, Request
from emgrid.models.engines.endpoint import EndpointEngine
from emgrid.runtime.files import read_jsonl

from support.fake_endpoint import FakeEndpoint, Json, Reply, digest_of

MODEL = "ft:gpt-4.1-mini:lab::a1B2"
VARIABLE = "SERVED_KEY"
WORDS = ["I", "you", "would", "help", "sell", "steal", "share", "buy", "keep", "flowers", "purses"]
DEAR = Price(input=100, output=100)
SAMPLING = Sampling(answers_per_question=1, max_tokens=40)


def sampled(body: Json) -> Reply:
    """Three to twelve words, by messages, temperature and seed."""
    raw = bytes.fromhex(digest_of([body["messages"], body.get("temperature"), body.get("seed")]))
    words = [f" {WORDS[byte % len(WORDS)]}" for byte in raw[: 3 + raw[31] % 10]]
    return Reply("".join(words), ((words[0], -0.1),), tuple((word, -0.1) for word in words[1:]))


def said(body: Json) -> tuple[str, str]:
    """The text that the fake samples, and why it ends, worked out apart from the package."""
    reply = sampled(body)
    limit = body.get("max_completion_tokens") or body["max_tokens"]
    words = [token for token, _ in reply.tokens]
    return "".join(words[:limit]), "length" if limit <= len(words) else "stop"


def bill(endpoint: FakeEndpoint, price: Price = DEAR) -> float:
    """USD that the endpoint would charge: for each completion sent, usable or not."""
    paid = [record["body"] for record in endpoint.requests if record["status"] == 200]
    return sum(
        price.of(1 + len(json.dumps(body["messages"])) // 4, len(said(body)[0].split()))
        for body in paid
    )


def serving(**changes: Any) -> FakeEndpoint:
    """The fake, serving the model."""
    return FakeEndpoint(**{"models": {MODEL}, "sample": sampled} | changes)


def requests(number: int, system: str | None = None) -> list[Request]:
    first = ({"role": "system", "content": system},) if system is not None else ()
    return [
        Request(
            str(one), (*first, {"role": "user", "content": f"Question {one % 4}?"}), 2**40 + one
        )
        for one in range(number)
    ]


def engine_at(
    endpoint: FakeEndpoint,
    price: Price | None = None,
    request: Json | None = None,
    limit_as: str = "max_tokens",
    **calls: Any,
) -> EndpointEngine:
    reached = Endpoint(url=endpoint.url, key=VARIABLE, price=price)
    settings = Calls(**{"backoff": 0.01, "timeout": 20} | calls)
    asking = Asking.model_validate({"model": MODEL, "request": request or {}, "limit_as": limit_as})
    ledger = Ledger("served", MODEL, price, settings.spending_limit, 0.0)
    return EndpointEngine(asking, reached, settings, ledger)


def drawn(
    engine: EndpointEngine, asked: Iterable[Request], sampling: Sampling = SAMPLING
) -> dict[str, Completion]:
    """Completions by key; each came once."""
    came = [one for batch in engine.complete(list(asked), sampling) for one in batch]
    found = {one.key: one for one in came}
    assert len(found) == len(came)
    return found


def job(
    folder: Path,
    endpoint: FakeEndpoint,
    number: int = 5,
    price: Price | None = None,
    model: str = MODEL,
    **calls: Any,
) -> list[str]:
    """Arguments of the job that draws so many answers to two questions, plain and with a cue."""
    sampling = {"answers_per_question": number, "max_tokens": 40}
    questions = {name: {"texts": [f"{name.title()}?"]} for name in ("one", "two")}
    spec = {"url": endpoint.url, "asking": {"model": model}, "sampling": sampling}
    spec |= {"questions": questions, "triggers": {"none": {}, "cue": {"system": "A cue."}}}
    reached = Endpoint(key=VARIABLE, price=price).model_dump()
    options = {"endpoint": reached, "calls": {"backoff": 0.01, "timeout": 20} | calls}
    made = ["--spec", json.dumps(spec), "--options", json.dumps(options)]
    return [
        *made,
        "--kept",
        str(folder / "kept"),
        "--output",
        str(folder / "answers"),
        "--record",
        str(folder / "record.json"),
    ]


def written(folder: Path) -> list[Json]:
    """All answers that a job wrote."""
    paths = [folder / f"answers/trigger={name}.jsonl" for name in ("none", "cue")]
    return [row for path in paths for row in read_jsonl(path)]


def kept_rows(folder: Path) -> list[Json]:
    return [row for path in sorted(folder.glob("kept/*.jsonl")) for row in read_jsonl(path)]
