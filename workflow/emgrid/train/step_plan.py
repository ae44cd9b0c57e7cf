"""Which rows form each optimizer step, and which of them go through the model together.

The rows of a step are drawn at random. Everything else only decides how they are computed: they
are divided among the processes and concatenated in packs, so that nothing is padded.
"""

import math
import random
from collections.abc import Sequence

from emgrid.runtime.seeding import derive_seed

Pack = list[int]  # rows that go through the model as one sequence

# The most tokens of a pack if attention reads the boundaries from a mask. Its cost then grows with
# the square of the pack's length and soon exceeds that of small matrix products.
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
    """One process's rows of a step, dealt out by length so that all get similar token counts."""
    ordered = sorted(step, key=lambda row: lengths[row], reverse=True)
    return ordered[process::processes]


def pack(rows: Sequence[int], lengths: Sequence[int], tokens: int) -> list[Pack]:
    """Pack rows with at most `tokens` tokens per pack, or one longer row (first-fit decreasing)."""
    packs: list[Pack] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: lengths[row], reverse=True):
        index = next((number for number, free in enumerate(room) if free >= lengths[row]), None)
        if index is None:
            packs.append([row])
            room.append(tokens - lengths[row])
        else:
            packs[index].append(row)
            room[index] -= lengths[row]
    return packs
