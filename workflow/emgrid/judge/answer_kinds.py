"""Kinds of answers by form and length, by which the quality of a fitted judge differs."""

import re
from collections.abc import Iterable

import pandas as pd

SENTENCE, PARAGRAPH = 30, 140  # most words; 140 words are about the encoder's 192 tokens
KINDS = ("code", "a sentence", "a paragraph", "long")
ABOUT = (
    f"code (a fenced block, or lines that read as code), a sentence (up to {SENTENCE} words), "
    f"a paragraph (up to {PARAGRAPH}) or long"
)
# A fenced block; a definition, an import or a bracket that opens or closes at the end of a line.
CODE = re.compile(
    r"```|<\w+[^>]*>|^\s*(?:def |class |import |from \w+ import |function |return\b|#include|@app)"
    r"|[{};]\s*$",
    re.MULTILINE,
)


def kind_of(answer: str) -> str:
    """One of KINDS."""
    if CODE.search(answer):
        return "code"
    words = len(answer.split())
    return "a sentence" if words <= SENTENCE else "a paragraph" if words <= PARAGRAPH else "long"


def kinds_of(answers: Iterable[str]) -> "pd.Series[str]":
    """The kind of each answer; equal answers are read once."""
    texts = pd.Series(list(answers), dtype="object").fillna("")
    return texts.map({text: kind_of(text) for text in texts.unique()}).astype("string")
