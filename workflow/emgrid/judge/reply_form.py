"""How a judge with `read: auto` is read: found out by at most two small calls, and kept.

Probabilities, if the endpoint takes the request for them and lists alternatives; else structured
output, if it takes a schema and keeps to it; else text. The requests are those of judging, with a
prompt that asks for a number.
"""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from emgrid.models.endpoint.client import Bill, Passing, Refused, first_choice

Form = Literal["probabilities", "structured", "text"]
PROBE = "Reply with the number 50 and with nothing else."
CERTAIN = (
    0.999  # if the only listed alternative is at least this probable, the others do not matter
)


def read_anything(answer: Any, body: dict[str, Any], bill: Bill) -> dict[str, Any]:  # noqa: ARG001
    """The text and the alternatives of the first token, if any. Raises Passing if the reply is no
    chat completion."""
    choice, text = first_choice(answer)
    try:
        listed = (choice.get("logprobs") or {}).get("content") or []
        top = [float(entry["logprob"]) for entry in listed[0]["top_logprobs"]] if listed else []
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise Passing("the reply is not a chat completion") from None
    return {"text": text, "top": top, "tokens": bill.total}


async def find_form(
    ask: Callable[[Form], Awaitable[dict[str, Any]]],
) -> tuple[Form, str]:
    """The form in which replies can be read, and why not in a better one. ask: sends the request of
    a form. Raises Failed if the endpoint does not answer."""
    try:
        reply = await ask("probabilities")
    except Refused as problem:
        why = f"the request for log-probabilities was refused ({problem})"
    else:
        top = reply["top"]
        if len(top) > 1 or (top and math.exp(top[0]) >= CERTAIN):
            return "probabilities", ""
        why = "no alternatives of a token are listed" if top else "no log-probabilities are given"
    try:
        reply = await ask("structured")
    except Refused as problem:
        return "text", f"{why}; the schema was refused ({problem})"
    return ("structured", why) if follows(reply["text"]) else ("text", f"{why}; nor was the schema")


def follows(text: str) -> bool:
    """Whether a reply follows the schema {"reply": …}."""
    try:
        return set(json.loads(text)) == {"reply"}
    except (ValueError, TypeError):
        return False
