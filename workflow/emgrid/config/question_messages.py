"""A question that is written as a conversation: its system prompt, its turns, the question itself.

Knows nothing of files; questions.py and question_files.py call it. Raises ValueError.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# Keys under which question files put turns before a question.
CONVERSATION = (
    "context",
    "conversation",
    "conversations",
    "few_shot",
    "history",
    "messages",
    "turns",
)
PREFILL = ("assistant_prefill", "prefill", "prefix_answer", "response_prefix")
EMPTY: tuple[Any, ...] = (None, "", [], {})
ROLES = ("system", "user", "assistant")
ENDS = (
    "ends with an assistant turn; if answers shall begin with it, write it as `prefill`; if it is "
    "somebody's answer, remove it"
)


def of_messages(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A question with `system`, `turns`, `texts` and `prefill` in place of other keys for them."""
    filled = {key: value for key, value in entry.items() if value not in EMPTY}
    plain = {key: value for key, value in entry.items() if key not in (*CONVERSATION, *PREFILL)}
    begun = [key for key in PREFILL if key in filled]
    held = [key for key in CONVERSATION if key in filled]
    for keys in (begun, held):
        if len(keys) > 1:
            raise ValueError(f"`{keys[0]}` and `{keys[1]}` are both given; keep one of them")
    if begun:
        plain["prefill"] = filled[begun[0]]
    if not held:
        return plain
    key, value = held[0], filled[held[0]]
    if "texts" not in filled:
        return plain | whole(value, key, filled.get("system"))
    if key == "turns":
        return plain | {"turns": value}
    turns = checked(value, key)
    if turns[0]["role"] == "system":
        plain, turns = with_system(plain, turns[0]["content"], key), turns[1:]
    return plain | {"turns": turns}


def whole(value: Any, key: str, system: Any) -> dict[str, Any]:
    """A question whose last user turn is the question; or several such, which are its wordings."""
    several = isinstance(value, list) and value and isinstance(value[0], list)
    conversations = [checked(one, key) for one in (value if several else [value])]
    texts, turns, systems = [], [], []
    for messages in conversations:
        first = messages[0]
        systems.append(first["content"] if first["role"] == "system" else None)
        rest = messages[1:] if first["role"] == "system" else messages
        if not rest or rest[-1]["role"] == "assistant":
            raise ValueError(f"`{key}` {ENDS if rest else 'has no user turn'}")
        texts.append(rest[-1].get("content"))
        turns.append(rest[:-1])
    if len(set(systems)) > 1:
        raise ValueError(f"`{key}`: the wordings of one question have different system prompts")
    question: dict[str, Any] = {"texts": texts}
    if any(turns):
        question["turns"] = turns
    return with_system({"system": system} | question, systems[0], key)


def with_system(question: dict[str, Any], system: str | None, key: str) -> dict[str, Any]:
    """The question under the system prompt of its conversation."""
    given = question.get("system")
    if system is not None and given not in (None, system):
        raise ValueError(f"`system` and the system turn of `{key}` differ; keep one of them")
    return question | {"system": given if system is None else system}


def checked(messages: Any, key: str) -> Sequence[dict[str, Any]]:
    """The turns of a conversation, each with a known role."""
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"`{key}` must be a list of turns, each with `role` and `content`")
    for number, turn in enumerate(messages, start=1):
        if not isinstance(turn, dict) or not {"content", "sampled"} & set(turn):
            raise ValueError(f"`{key}`: turn {number} must have `role` and `content`")
        if turn.get("role") not in ROLES or (turn["role"] == "system" and number > 1):
            raise ValueError(
                f"`{key}`: turn {number} has role {turn.get('role')!r}; it must be user or "
                "assistant, and the first may be system"
            )
        if "content" in turn and not isinstance(turn["content"], str):
            raise ValueError(f"`{key}`: the content of turn {number} is not a text")
    return messages
