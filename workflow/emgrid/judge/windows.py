"""How classifiers read answers that are longer than their encoder's limit.

The heads were fitted on the first 192 tokens of answers. A longer answer is read in overlapping
windows of 192 and of 64 tokens; shorter ones are read as a whole. Tokens are counted with the
encoder's tokenizer.json, with its truncation (at 128 tokens) switched off.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgrid.models.prepare import ENCODER_PACKAGE, package_folder

# Raise it whenever long answers are read in another way; shorter ones do not depend on it.
VERSION = 1
ENDS = 2  # the tokens [CLS] and [SEP]
WIDE = 192 - ENDS
NARROW = 64 - ENDS
# Divisor of the odds of the worst narrow window: the heads saw few texts that short, and easily
# call one window of many bad.
DISCOUNT = 20.0
Floats = NDArray[np.float64]


def open_tokenizer(file: str) -> Any:
    """Open a tokenizer.json, with truncation and padding switched off."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def encoder_tokenizer() -> Any:
    return open_tokenizer(str(package_folder(ENCODER_PACKAGE) / "model/tokenizer.json"))


def tokens_of(text: str) -> list[int]:
    """A text's tokens, without [CLS] and [SEP]."""
    ids: list[int] = encoder_tokenizer().encode(text, add_special_tokens=False).ids
    return ids


@lru_cache(maxsize=100_000)
def is_long(text: str) -> bool:
    """Whether a text has more tokens than the encoder's limit."""
    # A token is at least one byte long.
    return len(text.encode()) > WIDE and len(tokens_of(text)) > WIDE


def windows(tokens: Sequence[int], size: int) -> list[list[int]]:
    """Windows of `size` tokens that cover all tokens. Each overlaps the next by half; the last one
    ends with the last token and may overlap by more."""
    last = max(len(tokens) - size, 0)
    starts = [*range(0, last, size // 2), last]
    return [list(tokens[start : start + size]) for start in starts]


def odds_of(wide: Floats, narrow: Floats) -> float:
    """The odds that a long answer is bad: the mean over its wide windows, or the discounted maximum
    over its narrow ones if that is larger. wide, narrow: odds, shape (windows,)."""
    return float(max(wide.mean(), narrow.max() / DISCOUNT))
