"""Think blocks: what a model thinks aloud is kept apart from what it answers."""

import re

OPEN, CLOSE = "<think>", "</think>"
BLOCK = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)


def split_thinking(text: str, opened: bool = False) -> tuple[str | None, str | None]:
    """(thoughts, answer) of what a model said; thoughts None where there is no think block.

    answer None: a thought never closed, so there is no answer. opened: the prompt ended inside a
    think block; a block that closes without having been opened says the same.
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
    *stray, answer = rest.split(CLOSE)  # a second closing tag ends the thought once more
    return "\n\n".join([*thoughts, *stray]).strip(), answer.strip()


def with_thought(thought: str, answer: str) -> str:
    """An assistant turn with a think block; an empty thought gives an empty block."""
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}"
