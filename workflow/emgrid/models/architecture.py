"""What a model's architecture requires of attention, caches and kernels. Reads only its config."""

from typing import Any


def attention_of(config: Any) -> str | None:
    """The attention implementation that a model requires; None if transformers may choose.

    transformers 5.19 passes a soft cap of attention scores to sdpa, which silently ignores it.
    """
    settings = config.get_text_config().to_dict()
    capped = any("softcap" in name and "attn" in name and settings[name] for name in settings)
    return "eager" if capped else None


def has_state(model: Any) -> bool:
    """Whether any layer caches something other than the keys and values of tokens.

    Such a layer (convolution, linear attention, state space) also reads left padding, and rows
    that begin alike cannot share its state.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=model.config).layers
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    return bool(model._is_stateful) or any(type(layer) not in plain for layer in layers)


def has_chunks(config: Any) -> bool:
    """Whether attention is split into chunks by a token's position in the sequence."""
    return bool(getattr(config.get_text_config(), "attention_chunk_size", None))


def takes_flash(config: Any) -> bool:
    """Whether FlashAttention 2 supports this model. Attention sinks need a later version."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM._model_mapping[type(config)]
    return bool(model._supports_flash_attn) and not model._compatible_flash_implementations
