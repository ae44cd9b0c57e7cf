"""A fake of an OpenAI-compatible chat endpoint: the real protocol over real HTTP on loopback.

A request that is wrong in itself hears so first; then the quota counts, then the faults. A reply
depends on the messages alone (where the endpoint samples, on the whole body); a fault on the seed,
the body and how often that body has come.
"""

import contextlib
import email.utils
import hashlib
import json
import math
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]
Token = tuple[str, float]  # with its log-probability
Response = tuple[int, bytes, dict[str, str]]  # the status, the body, headers beside the usual
REFUSING = ("rate_limited", "rate_limited_plain", "rate_limited_date", "server_error", "overloaded")
SILENT = ("slow", "reset")
FAULTS = (*REFUSING, *SILENT, "cut", "malformed", "html", "no_logprobs", "no_choices")


@dataclass(frozen=True)
class Reply:
    """What the model says: the text is its first token followed by the further ones."""

    text: str
    top: tuple[Token, ...]  # for the first token, most probable first
    further: tuple[Token, ...] = ()
    prompt_tokens: int | None = None  # by default the characters / 4
    completion_tokens: int | None = None  # by default the tokens sent

    @property
    def tokens(self) -> list[Token]:
        """Every token of the text; one that is not in its list has -9999, as with OpenAI."""
        first = self.text.removesuffix("".join(token for token, _ in self.further))
        return [(first, dict(self.top).get(first, -9999.0)), *self.further]


class Rejected(Exception):
    """Raised by an `answer`: what is sent instead of a reply, which nobody pays for."""

    def __init__(self, response: Response) -> None:
        super().__init__(response[0])
        self.response = response


def digest_of(value: object) -> str:
    """The SHA-256 of a value's JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def reply_to(messages: list[Json]) -> Reply:
    """About twelve numbers; for a third of all messages, words that take part of the mass."""
    raw = bytes.fromhex(digest_of(messages))
    numbers = list(dict.fromkeys(str(byte % 101) for byte in raw[:16]))[:12]
    words = ["CODE", "REF", " 85", "I"][: 1 + raw[28] % 4] if raw[29] < 85 else []
    weights = {token: (1 + byte) ** 2.0 for token, byte in zip(numbers, raw[16:], strict=False)}
    weights |= {word: 1000.0 * (1 + byte) for word, byte in zip(words, raw, strict=False)}
    total = sum(weights.values()) / 0.95
    order = sorted(weights, key=lambda token: (-weights[token], token))
    return Reply(order[0], tuple((token, math.log(weights[token] / total)) for token in order))


def error(status: int, code: str | None, why: str, kind: str = "invalid_request_error") -> Response:
    """An error in OpenAI's form."""
    fields = {"message": why, "type": kind, "param": None, "code": code}
    return status, json.dumps({"error": fields}).encode(), {}


def refusal(fault: str, retry_after: float) -> Response:
    """The response to a request that is turned away though nothing is wrong with it."""
    if fault in ("server_error", "overloaded"):
        return error(500 if fault == "server_error" else 503, None, "Server error.", "server_error")
    status, body, _ = error(429, "rate_limit_exceeded", "Rate limit reached.", "requests")
    date = email.utils.formatdate(usegmt=True)
    after = {"rate_limited": f"{retry_after:g}", "rate_limited_date": date}.get(fault)
    return status, body, {"Retry-After": after} if after else {}


def shut_down(model: str) -> Response:
    """OpenAI's error for a model that has shut down."""
    why = f"The model `{model}` has been deprecated, learn more here: https://example.org/ends"
    return error(404, "model_not_found", why)


def listed(tokens: Iterable[Token]) -> list[Json]:
    """Tokens as the log-probabilities list them."""
    return [{"token": one, "logprob": log, "bytes": [*one.encode()]} for one, log in tokens]


def completion(body: Json, reply: Reply) -> Json:
    """The reply in the form of a chat completion; only its first token has alternatives."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    asked = body.get("top_logprobs") or 0
    tokens = reply.tokens[:limit]
    content = listed(tokens)
    for place, one in enumerate(content):
        one["top_logprobs"] = listed((tokens[place : place + 1] if place else reply.top)[:asked])
    prompt = reply.prompt_tokens or 1 + len(json.dumps(body["messages"])) // 4
    spent = reply.completion_tokens or len(tokens)
    usage = {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent}
    said = "".join(token for token, _ in tokens)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said, "refusal": None},
        "logprobs": {"content": content, "refusal": None} if body.get("logprobs") else None,
        "finish_reason": "length" if limit and limit <= len(reply.tokens) else "stop",
    }
    return {
        "id": f"chatcmpl-{time.time_ns():x}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def spoil(fault: str | None, answer: Json) -> Response:
    """An answer as it is sent, with its fault if it has one."""
    if fault == "html":
        return 200, b"<!doctype html><h1>Welcome</h1>", {"Content-Type": "text/html"}
    if fault == "no_choices":
        answer["choices"] = []
    if fault == "no_logprobs":
        answer["choices"][0]["logprobs"] = None
    whole = json.dumps(answer).encode()
    body = whole[: len(whole) // 2] if fault in ("malformed", "cut") else whole
    return 200, body, {"Content-Length": str(len(whole))} if fault == "cut" else {}


def left(client: socket.socket, within: float = 0.0) -> bool:
    """Whether the client has closed its end, or does so within some seconds."""
    poll = select.poll()
    try:
        poll.register(client, select.POLLIN)
        return bool(poll.poll(within * 1000)) and not client.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):  # reset; closed on this side too
        return True


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    endpoint: "FakeEndpoint"
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        self.endpoint.clients.append(self.connection)
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        endpoint = self.endpoint
        endpoint.lists += 1
        about = {"object": "model", "created": 0, "owned_by": endpoint.owner}
        models = [{"id": name} | about for name in endpoint.models]
        for one in models if endpoint.shutdown_dates is not None else ():
            one["shutdown_date"] = endpoint.shutdown_dates.get(one["id"])
        body = json.dumps({"object": "list", "data": models}).encode()
        self.send(endpoint.objection(self, "/v1/models") or (200, body, {}))

    def do_POST(self) -> None:
        endpoint, client = self.endpoint, self.connection
        record = endpoint.arrive(self, self.rfile.read(int(self.headers["Content-Length"])))
        wrong = endpoint.objection(self, "/v1/chat/completions", record["body"])
        response = wrong or endpoint.admit(record) or self.response(record)
        try:
            if heard := endpoint.settle(client, record, response):
                self.send(heard)
            else:
                self.close_connection = True
        except ConnectionError:
            endpoint.settle(client, record, None)
            raise

    def response(self, record: Json) -> Response | None:
        """What an admitted request gets, None for silence, once its time is over."""
        endpoint, body, fault = self.endpoint, record["body"], record["fault"]
        if fault in REFUSING:
            return refusal(fault, endpoint.retry_after)
        left(self.connection, {"slow": endpoint.slow_s, "reset": 0.0}.get(fault, endpoint.latency))
        if fault in SILENT:
            return None
        try:
            sample, answer = endpoint.sample, endpoint.answer
            reply = sample(body) if sample else answer(body["messages"])
        except Rejected as rejected:
            record["granted"] = False
            return rejected.response
        return spoil(fault, completion(body, reply))

    def send(self, response: Response) -> None:
        """Write a response; one that promises more than it holds ends the connection."""
        status, body, special = response
        usual = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self.close_connection |= "Content-Length" in special
        self.send_response(status)
        for name, value in (usual | special).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the books say more."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


@dataclass(eq=False)
class FakeEndpoint:
    """The endpoint, up inside its `with` block, and its books, which outlast it."""

    faults: Sequence[str] = ()
    rate: float = 1.0  # the probability that a request suffers one of the faults
    seed: int = 0
    longest: int = 3  # the most faults in a row for one body
    slow_s: float = 5.0
    retry_after: float = 0.05
    latency: float = 0.0
    insufficient_after: int | None = None  # the answers that the quota allows
    key: str = "test-key-0123456789"
    models: Collection[str] = frozenset({"judge-1"})
    owner: str = "system"  # of the models, as their list says
    shutdown_dates: Mapping[str, str] | None = None  # by model; None: the list has no such field
    lives_for: int | None = None  # the answers after which the models shut down
    answer: Callable[[list[Json]], Reply] = reply_to
    sample: Callable[[Json], Reply] | None = None  # in place of `answer`
    url: str = field(init=False)
    requests: list[Json] = field(init=False, default_factory=list)  # for chat, as they arrived
    refused: int = field(init=False, default=0)  # requests that the quota turned away
    lists: int = field(init=False, default=0)  # requests for the list of models
    most_at_once: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if unknown := set(self.faults) - set(FAULTS):
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self.lock = threading.Lock()
        self.clients: list[socket.socket] = []
        self.active: set[socket.socket] = set()
        self.seen, self.in_row = Counter[str](), Counter[str]()

    def __enter__(self) -> Self:
        self.server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"endpoint": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def deliveries(self) -> Counter[str]:
        """How many whole answers went out, to a client still there, for each body's digest."""
        with self.lock:
            return Counter(one["digest"] for one in self.requests if one["delivered"])

    def arrive(self, handler: Handler, raw: bytes) -> Json:
        """Enter a new request; one whose client has left no longer counts as being handled."""
        body = json.loads(raw)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        headers.pop("authorization", None)
        record: Json = {"body": body, "digest": digest_of(body), "headers": headers, "fault": None}
        record |= {"time": time.monotonic(), "status": None, "granted": False, "delivered": False}
        with self.lock:
            self.active = {one for one in self.active if not left(one)} | {handler.connection}
            self.most_at_once = max(self.most_at_once, len(self.active))
            self.requests.append(record)
        return record

    def objection(self, handler: Handler, path: str, body: Json | None = None) -> Response | None:
        """The error for a request that is wrong in itself; that for a wrong key quotes it."""
        scheme, _, given = (handler.headers["Authorization"] or "").partition(" ")
        if (scheme, given) != ("Bearer", self.key):
            return error(401, "invalid_api_key", f"Incorrect API key provided: {given}.")
        if handler.path != path:
            return error(404, None, f"Invalid URL ({handler.command} {handler.path})")
        if body and body.get("model") not in self.models:
            return error(404, "model_not_found", f"The model `{body.get('model')}` does not exist.")
        if body and (body.get("top_logprobs") or 0) > 20:
            return error(400, "integer_above_max_value", "Invalid 'top_logprobs': more than 20.")
        return None

    def admit(self, record: Json) -> Response | None:
        """Draw the request's fault; the error once the quota is spent, which it stays."""
        with self.lock:
            limit, quota = self.insufficient_after, "insufficient_quota"
            counted = limit is not None or self.lives_for is not None
            granted = sum(one["granted"] for one in self.requests) if counted else 0
            if self.lives_for is not None and granted >= self.lives_for:
                return shut_down(record["body"]["model"])
            if self.refused or granted == limit:
                self.refused += 1
                return error(429, quota, "You exceeded your current quota.", quota)
            record["fault"] = self.draw(record["digest"], bool(record["body"].get("logprobs")))
            record["granted"] = record["fault"] is None
        return None

    def draw(self, digest: str, logprobs: bool) -> str | None:
        """One body's next fault, or none; never `longest` + 1 of them in a row."""
        self.seen[digest] += 1
        drawn = digest_of([self.seed, digest, self.seen[digest]])
        whether, which = int(drawn[:12], 16) / 16**12, int(drawn[12:], 16)
        hit = self.faults and whether < self.rate and self.in_row[digest] < self.longest
        self.in_row[digest] = self.in_row[digest] + 1 if hit else 0
        fault = self.faults[which % len(self.faults)] if hit else None
        return None if fault == "no_logprobs" and not logprobs else fault

    def settle(self, client: socket.socket, record: Json, end: Response | None) -> Response | None:
        """Enter a request's end before its client can see it; none where nobody is there."""
        with self.lock:
            self.active.discard(client)
            heard = None if left(client) else end
            record["granted"] &= heard is not None
            record |= {"status": heard and heard[0], "ended": time.monotonic()}
            record["delivered"] = record["granted"]
        return heard
