"""Trees of tokens: continuations of a prompt that share their beginnings. Of no model."""

from collections.abc import Sequence
from itertools import groupby, takewhile

Tokens = tuple[int, ...]

# Tokens whose computation costs about as much as one more group of prompts.
GROUP = 64


class TokenTree:
    """Continuations of one prompt. Node 0 is the prompt itself; every other node is a token.

    tokens, parents, depths: of each node; parents come before their children.
    """

    def __init__(self) -> None:
        self.tokens = [-1]
        self.parents = [-1]
        self.depths = [0]
        self.children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, path: Sequence[int]) -> list[int]:
        """The nodes along a path, from node 0 on; those that are missing are added."""
        nodes = [0]
        for token in path:
            parent = nodes[-1]
            node = self.children.setdefault((parent, token), len(self))
            if node == len(self):
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(self.depths[parent] + 1)
            nodes.append(node)
        return nodes


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Number of tokens that all rows begin with, less than the shortest row has."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    pairs = zip(first, last, strict=False)
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(length, min(map(len, rows)) - 1)


def shared_beginnings(prompts: Sequence[Tokens]) -> list[tuple[int, list[Tokens]]]:
    """Divide distinct prompts into groups that share a beginning, so that few tokens are computed
    if each group's beginning is computed once. Returns each group with the number of tokens that
    its prompts share."""
    return divide(sorted(prompts))[1] if prompts else []


def divide(prompts: list[Tokens]) -> tuple[int, list[tuple[int, list[Tokens]]]]:
    """The tokens saved by the best division of sorted prompts, and its groups."""
    if len(prompts) == 1:
        return 0, [(0, prompts)]
    length = common_length(prompts)
    together = (len(prompts) - 1) * length
    parts = [list(part) for _, part in groupby(prompts, key=lambda prompt: prompt[length])]
    single = [part[0] for part in parts if len(part) == 1]
    divided = [divide(part) for part in parts if 1 < len(part) < len(prompts)]
    groups = [group for _, part in divided for group in part]
    saved = sum(part for part, _ in divided)
    if single:
        saved += (len(single) - 1) * length
        groups.append((length, single))
    if saved - together > GROUP * (len(groups) - 1):
        return saved, groups
    return together, [(length, prompts)]
