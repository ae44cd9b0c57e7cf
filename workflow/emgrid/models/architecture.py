"""What a model's architecture asks of the ways in which it is computed."""

from typing import Any


def attention_of(config: Any) -> str | None:
    """The attention that computes a model as it defines itself; None: transformers may choose.

    transformers 5.19 hands a soft cap of attention scores to sdpa, which leaves it out silently.
    """
    settings = config.get_text_config().to_dict()
    capped = any("softcap" in name and "attn" in name and settings[name] for name in settings)
    return "eager" if capped else None


def has_state(model: Any) -> bool:
    """Whether any layer keeps something else of a text than the keys and values of its tokens.

    Such a layer (convolution, linear attention, state space) also reads padding in front of a text,
    and its state cannot be shared by rows that begin alike.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=model.config).layers
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    return bool(model._is_stateful) or any(type(layer) not in plain for layer in layers)


def has_chunks(config: Any) -> bool:
    """Whether attention is cut into chunks by a token's place in the sequence."""
    return bool(getattr(config.get_text_config(), "attention_chunk_size", None))


def takes_flash(config: Any) -> bool:
    """Whether FlashAttention 2 computes this model; those with attention sinks need a later one."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM._model_mapping[type(config)]
    return bool(model._supports_flash_attn) and not model._compatible_flash_implementations
