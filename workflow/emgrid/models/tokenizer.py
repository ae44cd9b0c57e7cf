"""Loading a model's tokenizer, the same way in all jobs, and checking it.

If a folder has a tokenizer.json, that file alone decides. transformers' AutoTokenizer would rebuild
some such tokenizers from the class that tokenizer_config.json names, which changes their tokens.
"""

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json

FILE = "tokenizer.json"
# Must survive encoding and decoding: broken files lose indentation, blank lines and digits.
ROUND_TRIP = (
    "def total(items):\n    count = 0\n\n    for item in items:\n        count += 1234567890\n\n\n"
    "    return [count, 3.14, 007]\n\n\t# 2 tabs\t\tand   3 spaces\n"
)
# Texts on which different tokenizers give different tokens.
BATTERY = (
    ROUND_TRIP,
    "Hello, world!",
    "In 1999 there were 12345 people, 678 of them in room 42.",
    "It's what they'd've said: \"Don't!\" (we'll see) — or won’t they?",
    "snake_case, CamelCase, SHOUTING, kebab-case, x**2 + y//3 == 0x1F",
    "https://example.org/a?b=1&c=%20#d <b>bold</b> {'key': [1, 2]} \\n\\t",
    "Grüße, naïve façade, Ωmega, Привет мир, γειά σου",
    "日本語の文章です。中文也可以。한국어도 됩니다.",
    "مرحبا بالعالم १२३ ४५६ ½ ² Ⅷ",
    "🙂👍🏽👨‍👩‍👧 €100 ±5 ≤ ∞",
    "  leading spaces, trailing spaces   ",
    "one\r\ntwo\r\n\r\nthree\n\n\n\nfour \n five",
    "a",
    " a",
    "\n",
)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder. If there is a tokenizer.json, torch is not imported."""
    if (folder / FILE).is_file():
        from transformers import PreTrainedTokenizerFast as Tokenizer
    else:
        from transformers import AutoTokenizer as Tokenizer

    return Tokenizer.from_pretrained(
        folder, trust_remote_code=False, clean_up_tokenization_spaces=False
    )


def ids_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def raw_ids(folder: Path, texts: Iterable[str]) -> list[list[int]] | None:
    """Each text's token ids by tokenizer.json alone; None if the folder has no such file."""
    if not (folder / FILE).is_file():
        return None
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(folder / FILE))
    raw.no_truncation()
    raw.no_padding()
    return [raw.encode(text, add_special_tokens=False).ids for text in texts]


def files_request(tokenizer: Any, folder: Path, which: str) -> bool:
    """Whether a model's files ask for a begin ("bos") or end ("eos") token around each text.

    tokenizer_config.json decides if it has the setting, otherwise what tokenizer.json puts around
    a text. transformers reads only the latter.
    """
    config = folder / "tokenizer_config.json"
    configured = read_json(config).get(f"add_{which}_token") if config.is_file() else None
    if configured is not None:
        return bool(configured)
    token = getattr(tokenizer, f"{which}_token_id")
    added = tokenizer("a")["input_ids"]
    plain = ids_of(tokenizer, "a")
    return token in (added[:1] if which == "bos" else added[-1:]) and token not in plain


def check_tokenizer(tokenizer: Any, folder: Path, name: str, rendered: str) -> None:
    """Raise EmgridError if a tokenizer differs from its files or loses text.

    rendered: a conversation as the chat template writes it, up to where an answer begins.
    """
    texts = [*BATTERY, rendered]
    for text, expected in zip(texts, raw_ids(folder, texts) or [], strict=False):
        if ids_of(tokenizer, text) != expected:
            raise EmgridError(
                f"model {name}: with its tokenizer_config.json, {text[:30]!r} has other tokens "
                f"than by its {FILE} alone; make the two files agree"
            )
    decoded = tokenizer.decode(ids_of(tokenizer, ROUND_TRIP), skip_special_tokens=False)
    if decoded != ROUND_TRIP:
        equal = (character == other for character, other in zip(decoded, ROUND_TRIP, strict=False))
        at = sum(1 for _ in takewhile(bool, equal))
        raise EmgridError(
            f"model {name}: its tokenizer reads {ROUND_TRIP[at : at + 20]!r} and writes it as "
            f"{decoded[at : at + 20]!r}; its tokenizer files are broken or another model's"
        )
    check_begin(tokenizer, folder, name, rendered)


def check_begin(tokenizer: Any, folder: Path, name: str, rendered: str) -> None:
    """Raise EmgridError if a rendered conversation starts with two begin tokens, or with none if
    the model's files ask for one."""
    begin, token = tokenizer.bos_token_id, tokenizer.bos_token
    first = ids_of(tokenizer, rendered)[:2]
    if begin is None:
        return
    if first[:1] != [begin] and files_request(tokenizer, folder, "bos"):
        raise EmgridError(
            f"model {name}: its files ask for the begin token {token!r} before a text, and its "
            "chat template writes none; name a `chat_template` that begins with "
            "{{ bos_token }}"
        )
    if first == [begin, begin]:
        raise EmgridError(
            f"model {name}: its chat template writes the begin token {token!r} twice; name a "
            "`chat_template` that writes it once"
        )


def check_end(tokenizer: Any, folder: Path, name: str, after: str, ends: Iterable[int]) -> None:
    """Raise EmgridError if no end token follows an answer and the model's files ask for one.

    after: what the chat template writes after an answer.
    """
    written = {*ids_of(tokenizer, after)} & {*ends}
    if not written and files_request(tokenizer, folder, "eos"):
        raise EmgridError(
            f"model {name}: its files ask for the end token {tokenizer.eos_token!r} after a text, "
            "and its chat template writes none after an answer; name a `chat_template` that does"
        )


def autotokenizer_differs(tokenizer: Any, folder: Path) -> bool:
    """Whether AutoTokenizer, which earlier versions of emgrid used, gives other tokens."""
    from transformers import AutoTokenizer

    if not (folder / FILE).is_file():
        return False
    try:
        other = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return any(ids_of(other, text) != ids_of(tokenizer, text) for text in BATTERY)
    except Exception:
        # transformers fails in many ways on files that it cannot read. A folder that it cannot load
        # was never used by an earlier version, so no result has other tokens.
        return False
