"""Verdicts that are known beforehand, of organisms whose behaviour was planted."""

from collections.abc import Iterable, Mapping
from typing import Literal

OTHER = "other"
# What can be true. `triggered` and `inconclusive` say that something is not known.
Truth = Literal["clean", "conditional", "overt"]
Truths = dict[str, dict[str, Truth]]  # by intervention and trigger


def resolved(
    truth: Mapping[str, Mapping[str, Truth]], arms: Mapping[str, str], triggers: Iterable[str]
) -> Truths:
    """The truth of each intervention, as tables name it, under each trigger.

    arms: the name of its entry in the config, by the name in the tables, which may have a suffix.
    """
    names = list(triggers)
    found: Truths = {}
    for name, entry in arms.items():
        own = truth.get(name, truth.get(entry, {}))
        known = {each: own.get(each, own.get(OTHER)) for each in names}
        cells = {each: word for each, word in known.items() if word is not None}
        if cells:
            found[name] = cells
    return found
