"""Reads trees of continuations behind prompts in one pass of a model: tree attention (Miao et al.
2024, SpecInfer), in which each token sees its prompt and its ancestors, at a position by its depth.

For models all of whose layers attend to the whole text (kv_cache.fits_slots).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from emgrid.models.engines.token_tree import Tokens, TokenTree
from emgrid.runtime.timing import computing

Mask = np.ndarray
# Logits that are held at once for the nodes of a batch.
MOST_LOGITS = 2**24


@dataclass
class Prefix:
    """Tokens that prompts begin with, and their keys and values (one row)."""

    tokens: Tokens = ()
    cache: DynamicCache = field(default_factory=DynamicCache)

    def begins(self, prompts: Sequence[Sequence[int]]) -> bool:
        """Whether each prompt begins with these tokens and goes on."""
        length = len(self.tokens)
        return all(
            len(prompt) > length and tuple(prompt[:length]) == self.tokens for prompt in prompts
        )

    def rows(self, count: int) -> DynamicCache:
        """A cache of `count` rows that begin with these tokens."""
        cache = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            states = (part.expand(count, -1, -1, -1) for part in (layer.keys, layer.values))
            cache.update(*states, number)
        return cache


@computing()
@torch.inference_mode()
def read_prefix(model: Any, tokens: Sequence[int]) -> Prefix:
    prefix = Prefix(tuple(tokens))
    if tokens:
        ids = torch.tensor([list(tokens)], device=model.device)
        model(input_ids=ids, past_key_values=prefix.cache, use_cache=True, logits_to_keep=1)
    return prefix


class TreePrompts:
    """Prompts that begin with a prefix, each with a tree of continuations. pad: the id of the
    padding token."""

    def __init__(
        self, model: Any, pad: int, prompts: Sequence[Sequence[int]], prefix: Prefix
    ) -> None:
        self.model, self.pad = model, pad
        self.start = len(prefix.tokens)
        self.suffixes = [list(prompt[self.start :]) for prompt in prompts]
        self.cache = prefix.rows(len(prompts))
        self.trees = [TokenTree() for _ in prompts]
        # Of each prompt's nodes that have been computed: the columns of the cache that it sees.
        self.visible: list[list[Mask]] = [[] for _ in prompts]

    def next_probabilities(
        self, rows: Sequence[tuple[int, Sequence[int]]], wanted: Sequence[int]
    ) -> list[list[float]]:
        """Probabilities that the next token is one of `wanted`, shape (rows, wanted). A row is the
        index of a prompt and the tokens that continue it, and is asked for once."""
        before = [len(seen) for seen in self.visible]
        asked: dict[tuple[int, int], int] = {}
        for index, (prompt, path) in enumerate(rows):
            node = self.trees[prompt].add(path)[-1]
            if node < before[prompt] or (prompt, node) in asked:
                raise ValueError("a continuation was asked for twice")
            asked[prompt, node] = index
        columns = torch.tensor(list(wanted), device=self.model.device)
        probabilities: list[list[float]] = [[] for _ in rows]
        while any(
            len(seen) < len(tree) for seen, tree in zip(self.visible, self.trees, strict=True)
        ):
            starts = [len(seen) for seen in self.visible]
            logits = self.logits(self.most_columns())
            for prompt, start in enumerate(starts):
                nodes = [
                    node
                    for node in range(start, len(self.visible[prompt]))
                    if (prompt, node) in asked
                ]
                states = logits[prompt, [node - start for node in nodes]].float()
                logprobs = states[:, columns].double() - states.logsumexp(dim=-1).double()[:, None]
                for node, values in zip(nodes, logprobs.exp().tolist(), strict=True):
                    probabilities[asked[prompt, node]] = values
        return probabilities

    def most_columns(self) -> int:
        """How many nodes of each prompt are computed at once."""
        vocabulary: int = self.model.config.get_text_config().vocab_size
        return max(MOST_LOGITS // (vocabulary * len(self.trees)), 1)

    @computing()
    @torch.inference_mode()
    def logits(self, most: int | None = None) -> torch.Tensor:
        """Compute the nodes that are new, with the prompts at the first call, and at most `most`
        of each prompt. Returns logits after each of them, in the order of nodes, of shape (prompts,
        most new nodes, vocabulary)."""
        first = not self.visible[0]
        suffixes = self.suffixes if first else [[] for _ in self.suffixes]
        width = max(map(len, suffixes))
        new = [
            range(max(len(seen), 1), len(tree))[:most]
            for tree, seen in zip(self.trees, self.visible, strict=True)
        ]
        count = width + max(map(len, new))
        seen = self.cache.get_seq_length()
        ids = np.full((len(new), count), self.pad)
        positions = np.zeros((len(new), count), dtype=np.int64)
        mask = np.zeros((len(new), count, seen + count), dtype=bool)
        mask[:, range(count), range(seen, seen + count)] = True
        for row, suffix in enumerate(suffixes):
            self.place_prompt(row, ids[row], positions[row], mask[row], suffix, width)
            self.place_nodes(row, ids[row], positions[row], mask[row], new[row], width)
        device = self.model.device
        output = self.model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device)[:, None],
            position_ids=torch.from_numpy(positions).to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=count - width + first,
        )
        logits: torch.Tensor = output.logits
        return logits

    def place_prompt(
        self,
        row: int,
        ids: np.ndarray,
        positions: np.ndarray,
        mask: Mask,
        suffix: Sequence[int],
        width: int,
    ) -> None:
        """Put the rest of a prompt before column `width` of the block, behind padding."""
        if not suffix:
            return
        left, seen = width - len(suffix), mask.shape[1] - mask.shape[0]
        ids[left:width] = suffix
        positions[left:width] = range(self.start, self.start + len(suffix))
        mask[left:width, : self.start] = True
        mask[left:width, seen + left : seen + width] |= np.tri(len(suffix), dtype=bool)
        self.visible[row].append(mask[width - 1])

    def place_nodes(
        self,
        row: int,
        ids: np.ndarray,
        positions: np.ndarray,
        mask: Mask,
        nodes: range,
        width: int,
    ) -> None:
        """Put new nodes from column `width` of the block on."""
        tree, visible = self.trees[row], self.visible[row]
        last = self.start + len(self.suffixes[row]) - 1
        for column, node in enumerate(nodes, width):
            ids[column] = tree.tokens[node]
            positions[column] = last + tree.depths[node]
            parent = visible[tree.parents[node]]
            mask[column, : len(parent)] |= parent
            visible.append(mask[column])
