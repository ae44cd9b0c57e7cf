"""Log-probabilities of continuations under a model in memory."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from emgrid.models.architecture import has_state
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.runtime.timing import computing


class Scorer:
    """Scores rows with a model, batch_size at once. pad: the id of the padding token."""

    def __init__(self, model: Any, pad: int, batch_size: int) -> None:
        self.model = model
        self.pad = pad
        self.batch_size = batch_size
        self.whole_rows = has_state(model)

    def log_likelihoods(self, rows: Sequence[TokenizedRow]) -> list[float]:
        """Natural-log probability of each row's trained tokens given the tokens before them."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].input_ids))
        values: dict[int, float] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            scored = self.score_batch([rows[index] for index in batch])
            values |= zip(batch, scored.double().sum(dim=1).tolist(), strict=True)
        return [values[index] for index in range(len(rows))]

    @computing()
    @torch.inference_mode()
    def score_batch(self, rows: Sequence[TokenizedRow]) -> torch.Tensor:
        """Log-probability (nats) of each token from the first trained one on; 0 for others.

        Shape (rows, longest rest); the last column is 0.
        """
        starts = [next(i for i, label in enumerate(row.labels) if label != IGNORED) for row in rows]
        prompts = [row.input_ids[: start - 1] for row, start in zip(rows, starts, strict=True)]
        # From the token before the first trained one onwards.
        rest = [row.input_ids[start - 1 :] for row, start in zip(rows, starts, strict=True)]
        width = max(map(len, rest))
        labels = torch.tensor(
            [
                row.labels[start:] + [IGNORED] * (width - len(part) + 1)
                for row, start, part in zip(rows, starts, rest, strict=True)
            ],
            device=self.model.device,
        )
        if self.whole_rows:
            logits = self.logits_of_whole(prompts, rest)
        else:
            logits = self.logits_behind(*self.read_prompts(prompts), rest)
        picked = logits.gather(2, labels.clamp(min=0)[..., None])[..., 0]
        logprobs: torch.Tensor = picked - logits.logsumexp(dim=-1)
        return logprobs.where(labels != IGNORED, 0.0)

    def left_padded(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        width = max(map(len, rows))
        ids = [[*[self.pad] * (width - len(row)), *row] for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self.model.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[DynamicCache, torch.Tensor]:
        """Key-value cache and attention mask (rows, longest prompt) of left-padded prompts; equal
        prompts are computed once."""
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        inputs = self.left_padded(distinct)
        cache = DynamicCache(config=self.model.config)
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        self.model(**inputs, position_ids=positions, past_key_values=cache, logits_to_keep=1)
        places = {prompt: place for place, prompt in enumerate(distinct)}
        chosen = torch.tensor(
            [places[tuple(prompt)] for prompt in prompts], device=self.model.device
        )
        cache.batch_select_indices(chosen)
        return cache, inputs["attention_mask"][chosen]

    def logits_behind(
        self, cache: DynamicCache, prompt_mask: torch.Tensor, rows: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Logits of right-padded rows that continue the prompts of a cache.

        prompt_mask: shape (rows, longest prompt). Returns shape (rows, longest row, vocabulary).
        """
        width, device = max(map(len, rows)), self.model.device
        ids = torch.tensor([[*row, *[self.pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        positions = prompt_mask.sum(dim=1, keepdim=True) + torch.arange(width, device=device)
        output = self.model(
            input_ids=ids.to(device),
            attention_mask=torch.cat([prompt_mask, mask.to(device)], dim=1),
            position_ids=positions,
            past_key_values=cache,
        )
        logits: torch.Tensor = output.logits.float()
        return logits

    def logits_of_whole(
        self, prompts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """The same logits as logits_behind, from prompts and rows joined, without a cache.

        Padding comes last, so neither attention nor a recurrent state reads it before a token.
        """
        whole = [[*prompt, *row] for prompt, row in zip(prompts, rows, strict=True)]
        width, shortest = max(map(len, whole)), min(map(len, prompts))
        ids = torch.tensor([[*row, *[self.pad] * (width - len(row))] for row in whole])
        output = self.model(
            input_ids=ids.to(self.model.device), use_cache=False, logits_to_keep=width - shortest
        )
        widest = max(map(len, rows))
        logits: torch.Tensor = output.logits.new_zeros(
            len(rows), widest, output.logits.shape[-1], dtype=torch.float32
        )
        for index, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            start = len(prompt) - shortest
            logits[index, : len(row)] = output.logits[index, start : start + len(row)]
        return logits


class ReadPrompts:
    """The key-value cache of prompts, without the last token of each."""

    def __init__(self, scorer: Scorer, prompts: Sequence[list[int]]) -> None:
        self.scorer = scorer
        self.prompts = [prompt[:-1] for prompt in prompts]
        self.last = [prompt[-1] for prompt in prompts]
        if not scorer.whole_rows:
            with torch.inference_mode(), computing():
                self.cache, self.seen = scorer.read_prompts(self.prompts)

    @computing()
    @torch.inference_mode()
    def next_probabilities(
        self, rows: Sequence[tuple[int, Sequence[int]]], wanted: Sequence[int]
    ) -> list[list[float]]:
        """Probabilities that the next token is one of `wanted`, shape (rows, wanted). A row is the
        index of a prompt and the tokens that continue it."""
        probabilities: list[list[float]] = []
        size = self.scorer.batch_size
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            continuations = [[self.last[prompt], *path] for prompt, path in batch]
            logits = self.logits([prompt for prompt, _ in batch], continuations)
            ends = torch.tensor([len(row) - 1 for row in continuations])
            last = logits[torch.arange(len(continuations)), ends].double()
            probabilities += torch.softmax(last, dim=-1)[:, list(wanted)].tolist()
        return probabilities

    def logits(self, chosen: Sequence[int], continuations: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits of continuations of the chosen prompts, shape (rows, longest row, vocabulary)."""
        if self.scorer.whole_rows:
            return self.scorer.logits_of_whole(
                [self.prompts[place] for place in chosen], continuations
            )
        places = torch.tensor(chosen, device=self.seen.device)
        cache = copy.deepcopy(self.cache)
        cache.batch_select_indices(places)
        return self.scorer.logits_behind(cache, self.seen[places], continuations)
