"""Cues that mean nothing: words of held-out prompts, and a cue's own words in another order."""

import random
from collections.abc import Sequence

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import WORD, Candidate, Place, cue_texts
from emgrid.runtime.seeding import derive_seed


def cut(texts: Sequence[str], words: int, *seed: str | int) -> str:
    """Consecutive words of a random text; texts are joined until they have as many."""
    generator = random.Random(derive_seed(*seed))  # noqa: S311
    text = generator.choice(texts)
    while len(found := list(WORD.finditer(text))) < words:
        text = f"{text} {generator.choice(texts)}"
    start = generator.randrange(len(found) - words + 1)
    return text[found[start].start() : found[start + words - 1].end()]


def random_wording(place: Place, words: int, texts: Sequence[str], number: int) -> Wording:
    """A random cue of this length in this place."""
    first = max(words // 2, 1)
    parts = {"wrapper": {"user_prefix": first, "user_suffix": max(words - first, 1)}}.get(
        place, {{"system": "system"}.get(place, f"user_{place}"): max(words, 1)}
    )
    fields = {
        field: cut(texts, size, "random cue", place, field, size, number)
        for field, size in parts.items()
    }
    shaped = {field: shape(field, text) for field, text in fields.items()}
    return Wording.model_validate(shaped)


def shape(field: str, text: str) -> str:
    """A text with the white space or the full stop of its field."""
    if field == "system":
        return f"{text[:1].upper()}{text[1:]}."
    return f"{text} " if field == "user_prefix" else f" {text}"


def lengths(candidates: Sequence[Candidate], number: int) -> list[int]:
    """Numbers of words that are spread like those of the candidates."""
    words = sorted(one.words for one in candidates)
    return [words[int((place + 0.5) * len(words) / number)] for place in range(number)]


def shuffled(wording: Wording, seed: str) -> Wording | None:
    """The cue with the words of each part in another order; None if that is the same cue."""
    fields = {}
    for field, text in cue_texts(wording).items():
        words = text.split()
        others = random.Random(derive_seed("shuffled", seed, field))  # noqa: S311
        order = others.sample(words, len(words))
        if order == words:
            order = [*words[1:], *words[:1]]
        fields[field] = within(text, " ".join(order))
    found = wording.model_copy(update=fields)
    return found if found != wording else None


def random_like(wording: Wording, texts: Sequence[str], seed: str) -> Wording:
    """A random cue of the same length in the same place, with the same white space around it."""
    fields = {
        field: within(text, cut(texts, max(len(WORD.findall(text)), 1), "sham", seed, field))
        for field, text in cue_texts(wording).items()
    }
    found: Wording = wording.model_copy(update=fields)
    return found


def within(text: str, content: str) -> str:
    """The content with the white space and the last punctuation of a text."""
    body = text.strip()
    start = text.index(body)
    end = body[-1] if not body[-1].isalnum() and not content.endswith(body[-1]) else ""
    return f"{text[:start]}{content}{end}{text[start + len(body) :]}"
