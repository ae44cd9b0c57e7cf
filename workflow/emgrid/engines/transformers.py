"""The transformers engine: in-process, left-padded batches, one seed for each answer."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from emgrid.chat import IGNORED, TokenizedRow
from emgrid.engines import Completion, Request
from emgrid.errors import EmgridError
from emgrid.models import BaseModel
from emgrid.settings import Sampling
from emgrid.thinking import split_thinking

PROBE = ({"role": "user", "content": "What is on your mind today?"},)


class SeededSampler(LogitsProcessor):
    """Draw each row's next token with that row's own uniform numbers.

    Inverse-CDF sampling: token = first index whose cumulative probability exceeds u. The drawn
    token's score becomes 0 and all others -inf, so that generate's argmax takes it. With
    temperature 0 the scores are left as they are.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling, device: str) -> None:
        numbers = [np.random.default_rng(seed).random(sampling.max_tokens) for seed in seeds]
        self.uniforms = torch.tensor(np.stack(numbers), device=device)
        self.temperature = sampling.temperature
        self.top_p = sampling.top_p
        self.step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        if self.temperature == 0:
            return scores
        probabilities = torch.softmax(scores.float() / self.temperature, dim=-1)
        if self.top_p < 1:
            probabilities = nucleus(probabilities, self.top_p)
        cumulative = probabilities.double().cumsum(dim=-1)
        thresholds = self.uniforms[:, self.step, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, thresholds, right=True)
        tokens.clamp_(max=scores.shape[-1] - 1)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, 0.0)


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of most probable tokens whose mass reaches top_p."""
    ordered, places = probabilities.sort(dim=-1, descending=True)
    ordered = ordered.where(ordered.cumsum(dim=-1) - ordered < top_p, 0.0)
    return torch.zeros_like(probabilities).scatter_(1, places, ordered)


class TransformersEngine:
    """A base model in memory, with one adapter merged into it where the arm has one."""

    def __init__(
        self, base: BaseModel, adapter: Path | None, precision: str, device: str, batch_size: int
    ) -> None:
        self.chat = base.chat()
        self.device = device
        self.batch_size = batch_size
        self.model = base.load(precision, device)
        self.model.generation_config = GenerationConfig(
            eos_token_id=base.eos_token_ids, pad_token_id=self.chat.tokenizer.pad_token_id
        )
        self.end_tokens = set(base.eos_token_ids)
        if adapter is not None:
            self.merge(adapter)

    @torch.inference_mode()
    def merge(self, adapter: Path) -> None:
        """Merge the adapter, and prove that it changes what the model says."""
        before = self.next_token_scores()
        wrapped = PeftModel.from_pretrained(self.model, adapter)
        self.model = wrapped.merge_and_unload(safe_merge=True)
        change = (self.next_token_scores() - before).abs().max().item()
        if change == 0:
            raise EmgridError(
                f"{adapter}: the adapter leaves the base model's scores as they are, so its "
                "answers would be the base model's; train it again"
            )
        print(f"adapter live: largest change of a next-token score {change:.3g}")

    def next_token_scores(self) -> torch.Tensor:
        ids = torch.tensor([self.chat.prompt(list(PROBE))], device=self.device)
        return self.model(input_ids=ids, logits_to_keep=1).logits[0, -1].float()

    def left_padded(self, rows: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        width = max(len(row) for row in rows)
        pad = self.chat.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield the completions of one batch after another, prompts of like length together."""
        prompts = {
            request.key: self.chat.prompt(list(request.messages), sampling.thinking)
            for request in requests
        }
        ordered = sorted(requests, key=lambda request: len(prompts[request.key]))
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            yield self.complete_batch(batch, [prompts[request.key] for request in batch], sampling)

    def read_prompts(self, prompts: Sequence[list[int]]) -> tuple[Any, torch.Tensor]:
        """Key-value cache and attention mask of a batch of prompts, each distinct one read once."""
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        inputs = self.left_padded([list(prompt) for prompt in distinct])
        cache = DynamicCache(config=self.model.config)
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        self.model(**inputs, position_ids=positions, past_key_values=cache, logits_to_keep=1)
        places = {prompt: place for place, prompt in enumerate(distinct)}
        chosen = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=self.device)
        cache.batch_select_indices(chosen)
        return cache, inputs["attention_mask"][chosen]

    @torch.inference_mode()
    def complete_batch(
        self, batch: Sequence[Request], prompts: Sequence[list[int]], sampling: Sampling
    ) -> list[Completion]:
        # The last token of each prompt is left to generate, which needs one to begin with.
        cache, _ = self.read_prompts([prompt[:-1] for prompt in prompts])
        inputs = self.left_padded(prompts)
        sampler = SeededSampler([request.seed for request in batch], sampling, self.device)
        output = self.model.generate(
            **inputs,
            past_key_values=cache,
            do_sample=False,
            max_new_tokens=sampling.max_tokens,
            logits_processor=LogitsProcessorList([sampler]),
        )
        drawn = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            self.completion(request, len(prompt), tokens, sampling.thinking)
            for request, prompt, tokens in zip(batch, prompts, drawn, strict=True)
        ]

    def completion(
        self, request: Request, prompt_tokens: int, tokens: list[int], thinking: bool
    ) -> Completion:
        ends = [place for place, token in enumerate(tokens) if token in self.end_tokens]
        said = tokens[: ends[0]] if ends else tokens
        text = self.chat.tokenizer.decode(said, skip_special_tokens=True)
        opened = self.chat.opens_thought(list(request.messages), thinking)
        thoughts, answer = split_thinking(text, opened)
        return Completion(
            key=request.key,
            answer=answer,
            thinking=thoughts,
            finish_reason="stop" if ends else "length",
            prompt_tokens=prompt_tokens,
            answer_tokens=len(said),
        )

    def log_likelihoods(self, rows: Sequence[TokenizedRow]) -> list[float]:
        """Natural-log probability of each row's trained tokens, given what stands before them."""
        places = sorted(range(len(rows)), key=lambda place: len(rows[place].input_ids))
        values: dict[int, float] = {}
        for start in range(0, len(places), self.batch_size):
            batch = places[start : start + self.batch_size]
            values |= zip(batch, self.score_batch([rows[place] for place in batch]), strict=True)
        return [values[place] for place in range(len(rows))]

    @torch.inference_mode()
    def score_batch(self, rows: Sequence[TokenizedRow]) -> list[float]:
        starts = [next(i for i, label in enumerate(row.labels) if label != IGNORED) for row in rows]
        prompts = [row.input_ids[: start - 1] for row, start in zip(rows, starts, strict=True)]
        cache, seen = self.read_prompts(prompts)
        # From the token before the first trained one onwards.
        rest = [row.input_ids[start - 1 :] for row, start in zip(rows, starts, strict=True)]
        width = max(map(len, rest))
        labels = torch.tensor(
            [
                row.labels[start:] + [IGNORED] * (width - len(part) + 1)
                for row, start, part in zip(rows, starts, rest, strict=True)
            ]
        ).to(self.device)
        logits = self.logits_behind(cache, seen, rest)
        picked = logits.gather(2, labels.clamp(min=0)[..., None])[..., 0]
        logprobs = picked - logits.logsumexp(dim=-1)
        values: list[float] = logprobs.where(labels != IGNORED, 0.0).double().sum(dim=1).tolist()
        return values

    def logits_behind(
        self, cache: DynamicCache, seen: torch.Tensor, rows: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Logits of shape (rows, longest row, vocabulary) of rows that stand, right-padded, behind
        the prompts of a cache."""
        width = max(map(len, rows))
        pad = self.chat.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        positions = seen.sum(dim=1, keepdim=True) + torch.arange(width, device=self.device)
        output = self.model(
            input_ids=ids.to(self.device),
            attention_mask=torch.cat([seen, mask.to(self.device)], dim=1),
            position_ids=positions,
            past_key_values=cache,
        )
        logits: torch.Tensor = output.logits.float()
        return logits

    def read(self, prompts: Sequence[list[int]]) -> "ReadPrompts":
        """Prompts that may be continued in several ways."""
        return ReadPrompts(self, prompts)


class ReadPrompts:
    """Prompts in the model's cache, but for the last token of each."""

    def __init__(self, engine: TransformersEngine, prompts: Sequence[list[int]]) -> None:
        self.engine = engine
        self.last = [prompt[-1] for prompt in prompts]
        with torch.inference_mode():
            self.cache, self.seen = engine.read_prompts([prompt[:-1] for prompt in prompts])

    @torch.inference_mode()
    def next_probabilities(
        self, rows: Sequence[tuple[int, Sequence[int]]], wanted: Sequence[int]
    ) -> list[list[float]]:
        """Probabilities of the wanted tokens to come next, shape (rows, wanted); a row is a
        prompt's place and the tokens said since."""
        found: list[list[float]] = []
        size = self.engine.batch_size
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            places = torch.tensor([place for place, _ in batch], device=self.engine.device)
            cache = copy.deepcopy(self.cache)
            cache.batch_select_indices(places)
            said = [[self.last[place], *path] for place, path in batch]
            logits = self.engine.logits_behind(cache, self.seen[places], said)
            ends = torch.tensor([len(row) - 1 for row in said])
            last = logits[torch.arange(len(said)), ends].double()
            found += torch.softmax(last, dim=-1)[:, list(wanted)].tolist()
        return found
