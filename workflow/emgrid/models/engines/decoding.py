"""Continuous batching: as soon as an answer ends, the next request takes its slot.

Each answer is drawn with its own uniform random numbers, so it does not depend on the rest of its
batch, except for rounding.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from emgrid.config.sections import Sampling
from emgrid.models.engines import Request
from emgrid.models.engines.kv_cache import Slots

PROMPTS_READ = 16  # distinct prompts in one prefill
BLOCK = 256  # tokens whose probabilities are summed together


@dataclass
class Row:
    """An answer that is being drawn. uniforms: a number in [0, 1) for each token, (max_tokens,)."""

    request: Request
    prompt: list[int]
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


def uniforms(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).random(count)


class DrawBuffers:
    """Buffers in which draw_tokens computes for up to `rows` rows, allocated once and not for every
    token. weights: padded to whole blocks; entries beyond the vocabulary stay 0."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        self.scores = torch.empty(rows, vocabulary, device=device)
        self.weights = torch.zeros(rows, vocabulary + -vocabulary % BLOCK, device=device)


def draw_tokens(
    logits: torch.Tensor,
    numbers: torch.Tensor,
    sampling: Sampling,
    buffers: DrawBuffers | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token per row by inverse transform sampling.

    logits: shape (rows, vocabulary). numbers: uniform in [0, 1), shape (rows,). Returns tokens and
    their natural-log probabilities, both of shape (rows,). With temperature 0 the most likely token
    is chosen, with probability 1.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1), torch.zeros(len(logits), device=logits.device)
    rows, vocabulary = logits.shape
    buffers = buffers or DrawBuffers(rows, vocabulary, logits.device)
    scores = buffers.scores[:rows].copy_(logits)
    if sampling.temperature != 1:
        scores.div_(sampling.temperature)
    weights = buffers.weights[:rows, :vocabulary]
    torch.softmax(scores, dim=-1, out=weights)
    if sampling.top_p < 1:
        weights.copy_(nucleus(weights, sampling.top_p))
    # In two steps, because a cumulative sum in float64 over the whole vocabulary is slow.
    blocks = buffers.weights[:rows].unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(dim=-1).double().cumsum(dim=-1)
    total = sums[:, -1:]
    targets = numbers[:, None] * total
    block = torch.searchsorted(sums, targets, right=True).clamp(max=sums.shape[-1] - 1)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp(min=0)), 0.0)
    chosen = blocks[torch.arange(len(blocks), device=blocks.device), block[:, 0]]
    inside = torch.searchsorted(chosen.double().cumsum(dim=-1), targets - before, right=True)
    # Rounding may lead past a block's last possible token; clamp to that token.
    last = BLOCK - 1 - (chosen > 0).flip(-1).int().argmax(dim=-1, keepdim=True)
    tokens = block * BLOCK + torch.minimum(inside, last)
    logprobs = (weights.gather(1, tokens).double() / total).log()
    return tokens[:, 0], logprobs[:, 0]


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of most probable tokens whose mass reaches top_p (nucleus
    sampling, Holtzman et al. 2020). probabilities: shape (rows, vocabulary)."""
    ordered, places = probabilities.sort(dim=-1, descending=True)
    ordered = ordered.where(ordered.cumsum(dim=-1) - ordered < top_p, 0.0)
    return torch.zeros_like(probabilities).scatter_(1, places, ordered)


class Prompts:
    """The key-value cache of distinct prompts, right-padded, without the last token of each."""

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]], pad: int) -> None:
        self.places = {prompt: place for place, prompt in enumerate(prompts)}
        width = max(map(len, prompts)) - 1
        ids = [[*prompt[:-1], *[pad] * (width - len(prompt) + 1)] for prompt in prompts]
        self.cache = DynamicCache(config=model.config)
        # The padding follows each prompt, so no token of the prompt attends to it.
        model(
            input_ids=torch.tensor(ids, device=model.device),
            past_key_values=self.cache,
            logits_to_keep=1,
        )


class SlotDecoder:
    """Draws answers from one model.

    capacity: answers that are drawn at once. ends: tokens that end an answer.
    """

    def __init__(self, model: Any, capacity: int, ends: set[int], pad: int) -> None:
        self.model = model
        self.capacity = capacity
        self.ends = ends
        self.pad = pad
        self.active: list[Row] = []
        self.slots = Slots(model, capacity)
        self.read: Prompts | None = None
        self.buffers: DrawBuffers | None = None

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[list[Row]]:
        """Yield rows as they end, short prompts first. A row's tokens include the end token."""
        waiting = deque(sorted(rows, key=lambda row: (len(row.prompt), row.prompt)))
        ended: list[Row] = []
        while waiting or self.active:
            free = self.capacity - len(self.active)
            # Each prefill is a separate pass, so wait until a few slots are free.
            if waiting and (not self.active or free >= max(1, self.capacity // 8)):
                self.admit(waiting, free)
            ended += self.step(sampling)
            if len(ended) >= self.capacity // 4 or not self.active:
                yield ended
                ended = []

    def admit(self, waiting: deque[Row], free: int) -> None:
        """Give free slots to the next waiting rows whose prompts are in the current prefill."""
        if self.read is None or tuple(waiting[0].prompt) not in self.read.places:
            ahead = (tuple(prompt) for prompt, _ in groupby(waiting, key=lambda row: row.prompt))
            prompts = list(islice(ahead, PROMPTS_READ))
            self.read = Prompts(self.model, prompts, self.pad)
        new: list[Row] = []
        while waiting and len(new) < free and tuple(waiting[0].prompt) in self.read.places:
            new.append(waiting.popleft())
        places = [self.read.places[tuple(row.prompt)] for row in new]
        self.slots.admit(self.read.cache, places, [len(row.prompt) - 1 for row in new])
        self.active += new

    def step(self, sampling: Sampling) -> list[Row]:
        """Draw one token for every active row; return the rows that ended."""
        last_tokens = [row.tokens[-1] if row.tokens else row.prompt[-1] for row in self.active]
        device = self.slots.rows.device
        logits = self.model(
            input_ids=torch.tensor(last_tokens, device=device)[:, None],
            attention_mask=self.slots.mask(),
            position_ids=self.slots.lengths[:, None],
            past_key_values=self.slots,
        ).logits[:, -1]
        numbers = [row.uniforms[len(row.tokens)] for row in self.active]
        if self.buffers is None:
            self.buffers = DrawBuffers(self.capacity, logits.shape[-1], device)
        chosen = draw_tokens(logits, torch.tensor(numbers, device=device), sampling, self.buffers)
        tokens, logprobs = (values.tolist() for values in chosen)
        for row, token, logprob in zip(self.active, tokens, logprobs, strict=True):
            row.tokens.append(token)
            row.logprob += logprob
        self.slots.step()
        finished = [
            place
            for place, row in enumerate(self.active)
            if row.tokens[-1] in self.ends or len(row.tokens) == sampling.max_tokens
        ]
        ended = [self.active[place] for place in finished]
        if finished:
            self.active = [self.active[place] for place in self.slots.drop(finished)]
        return ended
