"""Which rows make which optimizer step, and which of them go through the model together.

The rows of a step are drawn at random. What follows decides only how they are computed: they are
shared among the processes and laid one behind the other in packs, so that nothing is padded.
"""

import math
import random
from collections.abc import Sequence

from emgrid.runtime.seeding import derive_seed

Pack = list[int]  # rows that go through the model as one sequence

# Tokens of one pack where attention reads the boundaries from a mask: it then computes the square
# of a pack's length, which soon costs more than small products do.
PACKED = {"cpu": 512, "cuda": 4096}


def count_steps(rows: int, batch_size: int, epochs: int) -> int:
    return math.ceil(rows / batch_size) * epochs


def plan_steps(rows: int, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """The rows of every optimizer step: each epoch is a shuffle, cut into batches."""
    steps = []
    for epoch in range(epochs):
        order = list(range(rows))
        random.Random(derive_seed("order", seed, epoch)).shuffle(order)  # noqa: S311
        steps += [order[start : start + batch_size] for start in range(0, rows, batch_size)]
    return steps


def share(step: Sequence[int], lengths: Sequence[int], process: int, processes: int) -> list[int]:
    """One process's rows of a step. Dealt by length, so that all have about as many tokens."""
    dealt = sorted(step, key=lambda row: lengths[row], reverse=True)
    return dealt[process::processes]


def pack(rows: Sequence[int], lengths: Sequence[int], tokens: int) -> list[Pack]:
    """Rows in packs of at most so many tokens, a longer row alone (first fit, longest first)."""
    packs: list[Pack] = []
    left: list[int] = []
    for row in sorted(rows, key=lambda row: lengths[row], reverse=True):
        place = next((n for n, room in enumerate(left) if room >= lengths[row]), None)
        if place is None:
            packs.append([row])
            left.append(tokens - lengths[row])
        else:
            packs[place].append(row)
            left[place] -= lengths[row]
    return packs
