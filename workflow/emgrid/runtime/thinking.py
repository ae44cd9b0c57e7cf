"""Think blocks: separating a model's reasoning from its answer."""

import re

OPEN, CLOSE = "<think>", "</think>"
BLOCK = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)


def split_thinking(text: str, opened: bool = False) -> tuple[str | None, str | None]:
    """Split a reply into (thoughts, answer); thoughts is None if there is no think block.

    answer is None if a block is never closed. opened: the prompt ended inside a think block. A
    reply that closes a block without opening one is treated the same way.
    """
    first = text.find(CLOSE)
    if (opened and not text.lstrip().startswith(OPEN)) or (first >= 0 and OPEN not in text[:first]):
        text = OPEN + text
    if OPEN not in text:
        return None, text
    thoughts = BLOCK.findall(text)
    rest = BLOCK.sub("", text)
    if OPEN in rest:
        return "\n\n".join([*thoughts, rest.split(OPEN, 1)[1]]).strip(), None
    *stray, answer = rest.split(CLOSE)  # text before a second closing tag is a thought, too
    return "\n\n".join([*thoughts, *stray]).strip(), answer.strip()


def with_thought(thought: str, answer: str) -> str:
    """An assistant turn with a think block; an empty thought gives an empty block."""
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}"
