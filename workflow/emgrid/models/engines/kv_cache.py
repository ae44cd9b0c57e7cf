"""A key-value cache in which every row has its own length, so that rows can be added and removed.

Rows are left-aligned in tensors of shape (slots, key-value heads, length, head size); the active
rows are always the first ones.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from emgrid.models.architecture import has_state

ATTENTION = "emgrid_sdpa"
GROWTH = 64  # positions by which the tensors grow


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention that repeats no key-value heads when decoding one token.

    query: shape (rows, heads, length, head size); key, value: (rows, key-value heads, width, head
    size); returns (rows, length, heads, head size). With grouped-query attention and length 1, the
    query heads that share a key-value head take the place of the query positions.
    """
    rows, heads, length, size = query.shape
    biased = options.get("position_bias") is not None
    if length > 1 or attention_mask is None or heads == key.shape[1] or biased:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return output, None
    grouped = query.reshape(rows, key.shape[1], -1, size)
    output = torch.nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=options.get("scaling")
    )
    return output.reshape(rows, 1, heads, -1), None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def fits_slots(model: Any, longest: int) -> bool:
    """Whether every layer of the model attends to all of `longest` tokens.

    Layers with a state, or with a shorter window, need another kind of cache.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    whole = kinds <= {"full_attention", "sliding_attention"} and (not window or longest <= window)
    return whole and model.config._attn_implementation == ATTENTION and not has_state(model)


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer."""

    def __init__(self, slots: "Slots") -> None:
        super().__init__()
        self.slots = slots
        self.is_initialized = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate or enlarge the tensors to `slots.room`, in the shape and type of the states."""
        shapes = ((key_states, "keys"), (value_states, "values"))
        for states, name in shapes:
            _, heads, _, size = states.shape
            resized = states.new_zeros(self.slots.capacity, heads, self.slots.room, size)
            if self.is_initialized:
                old = getattr(self, name)
                resized[:, :, : old.shape[2]] = old
            setattr(self, name, resized)
        self.is_initialized = True

    def admit(self, keys: torch.Tensor, values: torch.Tensor, start: int) -> None:
        if not self.is_initialized or self.keys.shape[2] < self.slots.room:
            self.lazy_initialization(keys, values)
        stop, width = start + keys.shape[0], keys.shape[2]
        self.keys[start:stop, :, :width] = keys
        self.values[start:stop, :, :width] = values

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append one token to each active row; return the keys and values of all active rows.

        key_states, value_states: shape (active rows, key-value heads, 1, head size). Returns two
        tensors of shape (active rows, key-value heads, width, head size).
        """
        count, width = len(self.slots.lengths), self.slots.width
        where = (self.slots.rows[:count], slice(None), self.slots.lengths)
        self.keys[where] = key_states[:, :, 0]
        self.values[where] = value_states[:, :, 0]
        return self.keys[:count, :, :width], self.values[:count, :, :width]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        for states in (self.keys, self.values):
            states[targets] = states[sources]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.width + query_length - 1, 0

    def get_seq_length(self) -> int:
        return self.slots.width - 1

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):
    """The cache of up to `capacity` rows. lengths: tokens of each active row, shape (rows,)."""

    def __init__(self, model: Any, capacity: int) -> None:
        config = model.config.get_text_config()
        super().__init__(layers=[SlotLayer(self) for _ in range(config.num_hidden_layers)])
        self.capacity = capacity
        self.rows = torch.arange(capacity, device=model.device)
        self.lengths = self.rows[:0]
        self.width = 1
        self.room = GROWTH

    def admit(self, prompts: DynamicCache, chosen: Sequence[int], lengths: Sequence[int]) -> None:
        """Copy chosen rows of a cache of right-padded prompts behind the active rows."""
        indices = self.rows.new_tensor(chosen)
        self.make_room(max(lengths))
        for layer, source in zip(self.layers, prompts.layers, strict=True):
            longest = max(lengths)
            keys, values = source.keys[indices, :, :longest], source.values[indices, :, :longest]
            layer.admit(keys, values, len(self.lengths))
        self.lengths = torch.cat([self.lengths, self.rows.new_tensor(lengths)])
        self.measure()

    def make_room(self, length: int) -> None:
        while self.room < length + 1:
            self.room += max(GROWTH, self.room // 2)

    def measure(self) -> None:
        """Update the width: the longest row plus the token that is decoded next."""
        self.width = int(self.lengths.max()) + 1 if len(self.lengths) else 1
        if self.width > self.room:
            self.make_room(self.width)
            for layer in self.layers:
                layer.lazy_initialization(layer.keys, layer.values)

    def mask(self) -> torch.Tensor:
        """Which tokens each row attends to when one more is decoded, shape (rows, 1, 1, width)."""
        return (self.rows.new_tensor(range(self.width)) <= self.lengths[:, None])[:, None, None]

    def step(self) -> None:
        """Count one more token in every active row."""
        self.lengths = self.lengths + 1
        self.measure()

    def drop(self, dropped: Sequence[int]) -> list[int]:
        """Remove rows; return, for each remaining place, the index that its row had before."""
        count = len(self.lengths) - len(dropped)
        order = list(range(len(self.lengths)))
        holes = [index for index in dropped if index < count]
        movers = sorted(set(range(count, len(order))) - set(dropped))
        if holes:
            for layer in self.layers:
                layer.move(movers, holes)
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        order = order[:count]
        self.lengths = self.lengths[order]
        self.measure()
        return order
