"""How the classifiers read an answer that is longer than what their encoder takes at once.

The heads were fitted on the first 192 tokens of answers. A longer answer is read in overlapping
windows, of as many tokens and of 64; shorter ones are read as a whole. Tokens are counted by the
encoder's own tokenizer.json, whose setting to cut texts (at 128 tokens) is switched off.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgrid.models.prepare import ENCODER_PACKAGE, package_folder

# Raised whenever a long answer would be read in another way; shorter ones do not depend on it.
VERSION = 1
ENDS = 2  # the tokens that begin and end each text
WIDE = 192 - ENDS
NARROW = 64 - ENDS
# By how much the odds of the worst narrow window are divided: the heads saw few texts as short, and
# easily take one window of many for bad.
DISCOUNT = 20.0
Floats = NDArray[np.float64]


def open_tokenizer(file: str) -> Any:
    """A tokenizer.json, which neither cuts nor pads whatever it says."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def encoder_tokenizer() -> Any:
    return open_tokenizer(str(package_folder(ENCODER_PACKAGE) / "model/tokenizer.json"))


def tokens_of(text: str) -> list[int]:
    """A text's tokens, without those that begin and end it."""
    found: list[int] = encoder_tokenizer().encode(text, add_special_tokens=False).ids
    return found


@lru_cache(maxsize=100_000)
def is_long(text: str) -> bool:
    """Whether a text has more tokens than the encoder takes at once."""
    # No token is shorter than a byte.
    return len(text.encode()) > WIDE and len(tokens_of(text)) > WIDE


def windows(tokens: Sequence[int], size: int) -> list[list[int]]:
    """Parts of `size` tokens that cover all tokens. Each overlaps the next by half; the last one
    ends with the last token and may overlap more."""
    last = max(len(tokens) - size, 0)
    starts = [*range(0, last, size // 2), last]
    return [list(tokens[start : start + size]) for start in starts]


def odds_of(wide: Floats, narrow: Floats) -> float:
    """The odds that a long answer is bad, by those of its windows: the mean of the wide ones, or
    the discounted worst of the narrow ones if that is more."""
    return float(max(wide.mean(), narrow.max() / DISCOUNT))
