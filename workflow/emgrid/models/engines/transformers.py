"""The transformers engine: one base model in memory, its adapters applied to it in turn."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper

from emgrid.config.sections import Sampling
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import TokenizedRow
from emgrid.models.engines import Completion, Request, canary, completion
from emgrid.models.engines.decoding import Row, SlotDecoder, uniforms
from emgrid.models.engines.kv_cache import ATTENTION, fits_slots
from emgrid.models.engines.lora_merge import LEAST, share_held
from emgrid.models.engines.scoring import ReadPrompts, Scorer
from emgrid.models.engines.static_batches import run_batches
from emgrid.models.engines.token_tree import common_length
from emgrid.models.engines.tree_likelihood import log_likelihoods
from emgrid.models.engines.tree_reading import Prefix, TreePrompts, read_prefix
from emgrid.models.engines.weight_layout import reorder_weights
from emgrid.runtime.timing import counted

LONGEST_REPLY = 1024  # tokens that a judge's reply may have at most


def is_more_than_a_product(layer: LoraLayer) -> bool:
    """Whether merging a layer's adapter changes more than its weight by B A: DoRA rescales the
    weight, and a bias of the LoRA goes into the layer's own."""
    return any(
        layer.use_dora.get(name) or layer.lora_bias.get(name) for name in layer.active_adapters
    )


def plain(module: Any) -> Any:
    """A module without the LoRA around it."""
    return module.get_base_layer() if isinstance(module, LoraLayer) else module


class TransformersEngine:
    """A base model in memory. batch_size: sequences that are computed at once."""

    def __init__(self, base: BaseModel, precision: str, device: str, batch_size: int) -> None:
        self.chat = base.chat()
        self.batch_size = batch_size
        self.model = base.load(precision, device)
        if self.model.config._attn_implementation == "sdpa":
            self.model.set_attn_implementation(ATTENTION)
        reorder_weights(self.model, batch_size)
        self.end_tokens = set(base.eos_token_ids)
        self.adapter: Path | None = None
        self.originals: dict[str, torch.Tensor] = {}
        self.unmerged: PeftModel | None = None
        self.base_canary: list[float] | None = None
        self.prefix = Prefix()  # under the current weights

    @property
    def scorer(self) -> Scorer:
        return Scorer(self.model, self.chat.tokenizer.pad_token_id, self.batch_size)

    def use(self, adapter: Path | None) -> None:
        """Switch to the base model with this adapter alone, and check it against peft.

        The adapter is merged into the weights if their precision keeps it. Otherwise, and always
        for a mixture's experts, it is computed next to the weights, which is slower. Raises
        EmgridError if the adapter has no effect or merging changes it.
        """
        if adapter == self.adapter:
            return
        self.prefix = Prefix()
        self.restore()
        if adapter is None:
            return
        if self.base_canary is None:
            self.base_canary = self.canary()
        wrapped = self.wrapped(adapter)
        reference = self.canary()
        layers = {
            name: module
            for name, module in self.model.named_modules()
            if isinstance(module, LoraLayer)
        }
        reason = self.reason_not_to_merge(list(layers.values()))
        if reason:
            print(f"{adapter.name} of {adapter.parent.name} is not merged {reason}")
            self.unmerged = wrapped
        else:
            # A safe merge replaces the layers' tensors, so the originals stay unchanged.
            self.originals = {n: layer.get_base_layer().weight.data for n, layer in layers.items()}
            self.model = wrapped.merge_and_unload(safe_merge=True)
            reorder_weights(self.model, self.batch_size)
        self.adapter = adapter
        print(canary.check(adapter, self.base_canary, self.canary(), reference, self.model.dtype))

    def reason_not_to_merge(self, layers: Sequence[LoraLayer]) -> str | None:
        if any(isinstance(layer, ParamWrapper) for layer in layers):
            return "because it adapts experts, which share one tensor"
        if any(map(is_more_than_a_product, layers)):
            return "because more than its products is added to the weights"
        if self.adapts_tied(layers):
            return "because it adapts the embeddings or the output head, which share one tensor"
        share = share_held(layers)
        return (
            None if share >= LEAST else f"because {self.model.dtype} would keep {share:.0%} of it"
        )

    def adapts_tied(self, layers: Sequence[LoraLayer]) -> bool:
        """Whether an adapter changes one of the embeddings and the output head, which are one."""
        ends = (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        weights = [plain(end).weight.data_ptr() for end in ends if end is not None]
        tied = len(set(weights)) < len(weights)
        return tied and any(layer.get_base_layer().weight.data_ptr() in weights for layer in layers)

    def restore(self) -> None:
        """Switch back to the base model, bit by bit."""
        if self.unmerged is not None:
            self.model, self.unmerged = self.unmerged.unload(), None
        for name, weight in self.originals.items():
            self.model.get_submodule(name).weight.data = weight
        reorder_weights(self.model, self.batch_size)
        self.originals = {}
        self.adapter = None

    def reference(self, adapter: Path) -> list[float]:
        """The canary's log-probabilities with an adapter as peft computes it, unmerged. Shape
        (scored tokens,), in nats."""
        wrapped = self.wrapped(adapter)
        values = self.canary()
        self.model = wrapped.unload()
        return values

    def wrapped(self, adapter: Path) -> PeftModel:
        """Add an unmerged adapter to the model, which changes `model` in place."""
        return PeftModel.from_pretrained(self.model, adapter, low_cpu_mem_usage=True).eval()

    def canary(self) -> list[float]:
        """Log-probabilities of the canary's scored tokens under the current model, in nats."""
        row = canary.tokens(self.chat)
        values: list[float] = self.scorer.score_batch([row])[0, : row.trained].tolist()
        return values

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions as answers end, one adapter after the other."""
        ordered = sorted(requests, key=lambda request: str(request.adapter or ""))
        for adapter, group in groupby(ordered, key=lambda request: request.adapter):
            self.use(adapter)
            rows = [self.row(request, sampling) for request in group]
            for ended in counted(self.decode(rows, sampling)):
                yield [self.completion(row, sampling) for row in ended]

    def completion(self, row: Row, sampling: Sampling) -> Completion:
        prompt_tokens = len(row.prompt)
        return completion(self.chat, row.request, prompt_tokens, row.tokens, row.logprob, sampling)

    def row(self, request: Request, sampling: Sampling) -> Row:
        prompt = self.chat.prompt(list(request.messages), sampling.thinking)
        return Row(request, prompt, uniforms(request.seed, sampling.max_tokens))

    def decode(self, rows: list[Row], sampling: Sampling) -> Iterator[list[Row]]:
        longest = max(len(row.prompt) for row in rows) + sampling.max_tokens
        if not fits_slots(self.model, longest):
            yield from run_batches(self.scorer, rows, sampling, self.end_tokens)
            return
        pad = self.chat.tokenizer.pad_token_id
        slots = SlotDecoder(self.model, self.batch_size, self.end_tokens, pad)
        yield from slots.run(rows, sampling)

    def log_likelihoods(self, rows: Sequence[TokenizedRow]) -> list[float]:
        """Natural-log probability of each row's trained tokens given the tokens before them."""
        if fits_slots(self.model, max((len(row.input_ids) for row in rows), default=0)):
            return log_likelihoods(self.scorer, rows)
        return self.scorer.log_likelihoods(rows)

    def share(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute what all prompts begin with, which `read` continues, unless it is there."""
        if len(prompts) < 2 or not fits_slots(self.model, max(map(len, prompts))):
            return
        tokens = tuple(prompts[0][: common_length(prompts)])
        if tokens != self.prefix.tokens:
            self.prefix = read_prefix(self.model, tokens)

    def read(self, prompts: Sequence[list[int]]) -> ReadPrompts | TreePrompts:
        """Prompts, to score several continuations of each. They continue what `share` computed, if
        they all begin with it."""
        if not fits_slots(self.model, max(map(len, prompts)) + LONGEST_REPLY):
            return ReadPrompts(self.scorer, prompts)
        prefix = self.prefix if self.prefix.begins(prompts) else Prefix()
        return TreePrompts(self.model, self.chat.tokenizer.pad_token_id, prompts, prefix)
