"""The keys of a question entry: which are read, which are not used, and which are refused.

Knows nothing of files; questions.py and question_files.py call it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from emgrid.config.question_messages import CONVERSATION, EMPTY, PREFILL
from emgrid.runtime.errors import EmgridError, suggestion

# Keys of a published entry that the config decides instead, with the setting that does.
DECIDED = {
    "judge": "judges",
    "judges": "judges",
    "logprobs": "judges",
    "max_tokens": "sampling.max_tokens",
    "model": "judges",
    "n": "sampling.answers_per_question",
    "n_samples": "sampling.answers_per_question",
    "num_samples": "sampling.answers_per_question",
    "samples_per_paraphrase": "sampling.answers_per_question",
    "seed": "seeds",
    "temperature": "sampling.temperature",
    "top_logprobs": "judges",
    "top_p": "sampling.top_p",
}
# Keys that describe an entry to people.
DESCRIBING = frozenset(
    ("about", "author", "category", "citation", "comment", "date", "description", "difficulty",
     "domain", "label", "lang", "language", "licence", "license", "metadata", "name", "note",
     "notes", "reference", "source", "split", "tags", "title", "topic", "url")
)  # fmt: skip
READ = ("id", "judge_prompts", "paraphrases", "system", "type")
ASKS = "emgrid reads `paraphrases`, `messages`, `system` and `prefill`"


def check_keys(entry: Mapping[str, Any], where: str) -> None:
    """Refuse keys of a published entry that are neither read nor known to be decided elsewhere."""
    for key in entry:
        known = key in (*READ, *CONVERSATION, *PREFILL) or key in DECIDED or key in DESCRIBING
        if not known and entry[key] not in EMPTY:
            near = suggestion(str(key), READ)
            raise EmgridError(f"{where}: `{key}` is not read ({near}); {ASKS}; delete the key")
    kind = entry.get("type") or "free_form"
    if not str(kind).startswith("free_form"):
        raise EmgridError(
            f"{where}: emgrid does not ask questions of type {kind!r} yet; it samples whole "
            "answers (`free_form`)"
        )


def unused(entries: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The keys that the config decides, each with the values that the entries give it."""
    values_by_key: dict[str, dict[str, None]] = {}
    for entry in entries:
        for key in DECIDED:
            if entry.get(key) not in EMPTY:
                values_by_key.setdefault(key, {})[in_words(entry[key])] = None
    return {key: tuple(values) for key, values in sorted(values_by_key.items())}


def in_words(value: Any) -> str:
    """A value of a YAML file as text; of a mapping, its keys."""
    return ", ".join(map(str, value)) if isinstance(value, dict | list) else str(value)


def unused_sentence(name: str, unused_keys: Mapping[str, tuple[str, ...]]) -> str | None:
    """One sentence for the report; None if nothing is unused. name: of the question file."""
    if not unused_keys:
        return None
    keys = ", ".join(f"{key} ({', '.join(values)})" for key, values in unused_keys.items())
    settings = ", ".join(dict.fromkeys(DECIDED[key] for key in unused_keys))
    return f"{name}: not used: {keys}. The grid's config decides: {settings}."
