"""What a judge that reads is shown: the rubric with the question and the answer, made harmless."""

import re

from emgrid.config.rubrics import Rubric
from emgrid.judge.judgement import Item
from emgrid.runtime.files import digest

PLACEHOLDER = re.compile(r"\{(question|answer|mark)\}")


# What chat formats mark turns with: a server that renders the prompt would take it for its own.
CONTROL = re.compile(
    r"<(?=[|｜][^<>\n]{1,60}[|｜]>|/?(?:s|bos|eos|pad|start_of_turn|end_of_turn|think)>|<SYS>>|</SYS>>)"
    r"|\[(?=\|[^\[\]\n]{1,60}\|\]|/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)


def mark_of(item: Item) -> str:
    """Eight hexadecimal digits made from the texts that occur in neither of them."""
    mark = ""
    while not mark or mark in item.question or mark in item.answer:
        mark = digest([mark, item.question, item.answer])[:8]
    return mark


def judge_prompt(rubric: Rubric, item: Item) -> str:
    """What the judge reads. Placeholders inside the texts are left as they are."""
    shown = {
        "question": harmless(rubric, item.question),
        "answer": harmless(rubric, item.answer),
        "mark": mark_of(item),
    }
    return PLACEHOLDER.sub(lambda match: shown[match[1]], rubric.text)


def harmless(rubric: Rubric, text: str) -> str:
    """The text without what would end it early: our delimiters, or a chat format's marks."""
    if "{mark}" not in rubric.text:
        for delimiter in rubric.delimiters():
            words = r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", delimiter)))
            bare = f"({delimiter[1:-1]})".replace("\\", r"\\")
            text = re.sub(words, bare, text, flags=re.IGNORECASE)
    return CONTROL.sub(lambda match: match[0] + " ", text)
