"""Decoding in whole batches by transformers' `generate`, for models that do not fit the slots of
kv_cache.py: those with recurrent layers, with a window shorter than their texts, or with another
attention implementation."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from emgrid.config.sections import Sampling
from emgrid.models.engines.decoding import Row, draw_tokens
from emgrid.models.engines.scoring import Scorer


class SeededSampler(LogitsProcessor):
    """Draws each row's next token with that row's own uniform numbers.

    The drawn token's score becomes 0 and all others -inf, so that generate's argmax takes it.
    """

    def __init__(self, rows: Sequence[Row], sampling: Sampling, device: torch.device) -> None:
        self.uniforms = torch.tensor(np.stack([row.uniforms for row in rows]), device=device)
        self.sampling = sampling
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        numbers = self.uniforms[:, len(self.logprobs)]
        tokens, logprobs = draw_tokens(scores, numbers, self.sampling)
        self.logprobs.append(logprobs)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


@torch.inference_mode()
def run_batches(
    scorer: Scorer, rows: Sequence[Row], sampling: Sampling, ends: set[int]
) -> Iterator[list[Row]]:
    """Yield batches of ended rows, with prompts of similar length together.

    Padding would change the state of recurrent layers, so their batches have prompts of equal
    length.
    """
    ordered = sorted(rows, key=lambda row: (len(row.prompt), row.prompt))
    config = GenerationConfig(
        eos_token_id=sorted(ends),
        pad_token_id=scorer.pad,
        do_sample=False,
        max_new_tokens=sampling.max_tokens,
    )
    groups = groupby(ordered, key=lambda row: len(row.prompt) if scorer.whole_rows else 0)
    for group in (list(rows) for _, rows in groups):
        for start in range(0, len(group), scorer.batch_size):
            batch = group[start : start + scorer.batch_size]
            yield run_batch(scorer.model, batch, sampling, scorer.left_padded, config)


def run_batch(
    model: Any, batch: list[Row], sampling: Sampling, padded: Any, config: GenerationConfig
) -> list[Row]:
    inputs = padded([row.prompt for row in batch])
    sampler = SeededSampler(batch, sampling, model.device)
    output = model.generate(
        **inputs,
        generation_config=config,
        logits_processor=LogitsProcessorList([sampler]),
    )
    answers = output[:, inputs["input_ids"].shape[1] :].tolist()
    logprobs = torch.stack(sampler.logprobs, dim=1).tolist()
    for row, tokens, values in zip(batch, answers, logprobs, strict=True):
        stops = [index for index, token in enumerate(tokens) if token in config.eos_token_id]
        row.tokens = tokens[: stops[0] + 1] if stops else tokens
        row.logprob = sum(values[: len(row.tokens)])
    return batch
