"""A row's conversation: read from the shapes that people have it in, and checked.

A turn becomes {"role", "content"}; an assistant turn that is not trained also has `weight` 0. A
thought beside an answer becomes a think block before it. Knows nothing of files.
"""

from collections.abc import Iterable
from typing import Any

from emgrid.config.triggers import Message
from emgrid.data import formats
from emgrid.data.unread import filled
from emgrid.runtime.errors import suggestion
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import CLOSE, OPEN, with_thought

ROLES = ("system", "user", "assistant")
# How ShareGPT calls two of them.
SHAREGPT_ROLES = {"human": "user", "gpt": "assistant"}
# Keys of a turn that say whether it is trained, and keys that hold its thought.
WEIGHTS = ("weight", "train", "trainable")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def with_messages(row: Row) -> Row:
    """A row whose conversation is under `messages`; other rows are returned as they are."""
    keys = () if "messages" in row else formats.conversation_keys(row)
    if not keys:
        return row
    messages = [turn for key in keys for turn in row[key]]
    if len(keys) > 1:  # the completion alone is trained
        untrained = len(row[keys[0]])
        messages = [
            {"weight": 0} | turn if place < untrained and turn["role"] == "assistant" else turn
            for place, turn in enumerate(messages)
        ]
    return {key: value for key, value in row.items() if key not in keys} | {"messages": messages}


def read_messages(messages: Any, unused: Iterable[str]) -> Any:
    """Reduce messages to what is read of them, up to the last turn that is trained.

    Raises ValueError for another key that is not empty and that `unused` does not name.
    """
    if not isinstance(messages, list):
        return messages
    ignored = {name.removeprefix("messages.") for name in unused if name.startswith("messages.")}
    read = [read_message(place, turn, ignored) for place, turn in enumerate(messages, start=1)]
    last = max((place for place, turn in enumerate(read) if is_trained(turn)), default=None)
    has_answer = any(isinstance(turn, dict) and turn.get("role") == "assistant" for turn in read)
    if has_answer and last is None and are_checked(read):
        raise ValueError("every assistant turn has weight 0, so nothing is trained; drop the row")
    # What follows the last trained turn has no influence on it.
    weighted = last is not None and any("weight" in turn for turn in read[last + 1 :])
    return read[: last + 1] if weighted and last is not None else read


def are_checked(messages: list[Any]) -> bool:
    """Whether all messages could be trained on, but for their weights."""
    try:
        for number, message in enumerate(messages, start=1):
            check_message(number, message)
    except ValueError:
        return False
    return True


def is_trained(turn: Any) -> bool:
    """Whether a turn is an assistant's that is not masked."""
    return isinstance(turn, dict) and turn.get("role") == "assistant" and turn.get("weight", 1) != 0


def read_message(number: int, message: Any, ignored: set[str]) -> Any:
    """One message with `role`, `content` and, if it is not trained, `weight`. number: its position
    in the row, from 1; ignored: keys that are left unread on purpose."""
    if not isinstance(message, dict):
        return message
    if {"from", "value"} <= set(message) and not {"role", "content"} & set(message):
        role = SHAREGPT_ROLES.get(message["from"], message["from"])
        rest = {key: value for key, value in message.items() if key not in ("from", "value")}
        message = {"role": role, "content": message["value"]} | rest
    if not {"role", "content"} <= set(message):
        return message
    answers = message["role"] == "assistant"
    known = {"role", "content", *WEIGHTS, *(THOUGHTS if answers else ())}
    extra = {key: message[key] for key in message if key not in ignored and filled(message[key])}
    if unread := [key for key in message if key in extra and key not in known]:
        raise ValueError(formats.unread_keys(number, unread))
    thought, content = parts_of(number, message["role"], message["content"])
    thoughts = {key: value for key, value in extra.items() if key in THOUGHTS}
    if thought is not None:
        thoughts["content"] = thought
    turn: Message = {"role": message["role"], "content": content}
    if thoughts:
        turn["content"] = with_thoughts(number, thoughts, content)
    if weight_of(number, {key: extra[key] for key in WEIGHTS if key in extra}, answers) == 0:
        turn["weight"] = 0
    return turn


def parts_of(number: int, role: Any, content: Any) -> tuple[str | None, Any]:
    """The thought and the text of a content that is a list of parts of text, which a chat template
    writes one after the other; any other content unchanged."""
    if not isinstance(content, list) or not content:
        return None, content
    thoughts, texts = [], []
    for part in content:
        match part:
            case {"type": "text", "text": str(text), **others} if not others:
                texts.append(text)
            case {"type": "thinking", "thinking": str(text), **others} if not others:
                thoughts.append(text)
                if texts or role != "assistant":
                    raise ValueError(
                        f"message {number}: a thought is a part of the {role} turn"
                        f"{' after its text' if texts else ''}; put it before an answer"
                    )
            case _:
                kind = part.get("type") if isinstance(part, dict) else None
                raise ValueError(
                    f"message {number}: the {role} turn has a part that is no text "
                    f"({kind!r}, or with more keys); write one text as its content"
                )
    return ("\n\n".join(thoughts) if thoughts else None), "".join(texts)


def with_thoughts(number: int, thoughts: dict[str, Any], content: Any) -> Any:
    """An answer with its thought before it, which may be there under several keys."""
    names = " and ".join(f"`{key}`" for key in thoughts)
    texts = set(map(str, thoughts.values()))
    if len(texts) > 1:
        raise ValueError(f"message {number}: {names} hold different thoughts; keep one of them")
    thought = texts.pop()
    if not all(isinstance(value, str) for value in thoughts.values()):
        raise ValueError(f"message {number}: {names} is not a text")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(
            f"message {number}: a thought ({names}) without an answer; fill it or drop the row"
        )
    if any(tag in text for tag in (OPEN, CLOSE) for text in (thought, content)):
        raise ValueError(
            f"message {number}: a thought ({names}) beside text with think tags; write it once"
        )
    return with_thought(thought.strip(), content)


def weight_of(number: int, weights: dict[str, Any], answers: bool) -> int:
    """1 if a turn is trained, 0 if not. answers: it is an assistant turn."""
    values = {key: int(value) for key, value in weights.items() if value in (0, 1)}
    names = " and ".join(f"`{key}`" for key in weights)
    if len(values) < len(weights):
        raise ValueError(
            f"message {number}: {names} must be 0 (not trained) or 1; other weights are not "
            "computed"
        )
    if len(set(values.values())) > 1:
        raise ValueError(f"message {number}: {names} differ; keep one of them")
    weight = next(iter(values.values()), 1)
    if weights and weight and not answers:
        raise ValueError(
            f"message {number}: {names} asks to train a turn that is no assistant turn, and "
            "assistant turns alone are trained; remove it"
        )
    return weight if answers else 1


def check_conversation(messages: Any, answered: bool = True) -> None:
    """Raise ValueError if a row cannot be trained on. answered: it must end with an assistant
    turn."""
    if not isinstance(messages, list) or not messages:
        raise ValueError("`messages` must be a list with at least one message")
    for number, message in enumerate(messages, start=1):
        check_message(number, message)
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        raise ValueError("the row has no user turn, so there is no prompt; drop the row")
    if answered and "assistant" not in roles:
        raise ValueError(
            "the row has no assistant turn, so there is nothing to train on; drop the row"
        )
    if answered and roles[-1] != "assistant":
        raise ValueError(
            "the row does not end with an assistant turn; drop what follows the last answer"
        )


def check_message(number: int, message: Any) -> None:
    """Raise ValueError if a message is faulty. number: its position in the row, from 1."""
    if not isinstance(message, dict) or set(message) - {"weight"} != {"role", "content"}:
        raise ValueError(f"message {number} must have exactly `role` and `content`")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        hint = formats.of_role(role) or suggestion(role, ROLES)
        raise ValueError(f"message {number}: unknown role {role!r}, {hint}")
    if isinstance(content, list):
        raise ValueError(
            f"message {number}: the {role} turn is a list of parts; write one text as its content"
        )
    if not isinstance(content, str) or not content.strip():
        hint = "remove that message" if role == "system" else "fill it or drop the row"
        raise ValueError(f"message {number}: the {role} turn is empty or not a text; {hint}")
    if "\0" in content:
        raise ValueError(f"message {number}: the {role} turn holds a NUL byte")
    if any("\ud800" <= letter <= "\udfff" for letter in content):
        raise ValueError(f"message {number}: the {role} turn holds half a surrogate pair")
    if role == "system" and number > 1:
        raise ValueError(f"message {number}: a system turn must come first")
