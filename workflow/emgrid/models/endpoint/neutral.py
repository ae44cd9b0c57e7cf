"""Sampling settings that a vLLM server would take from its model's files.

vLLM fills in what a request does not say (`ChatCompletionRequest.to_sampling_params`) from the
model's generation_config.json, so that with `top_k: 1` there all answers are one. It is sent
neutral values instead. Other servers are sent nothing, as they may refuse fields that they do not
know.
"""

from typing import Any

from emgrid.config.served import MAY_LACK, Asking

# All that vLLM 0.32 reads from generation_config.json but temperature and top_p, which every
# request holds. -1 is taken by all versions as no top-k, 0 not by early ones.
NEUTRAL: dict[str, float] = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
FILLED = (*NEUTRAL, *(name for name in MAY_LACK if name != "seed"))


def is_vllm(models: list[dict[str, Any]], name: str) -> bool:
    """Whether a list of an endpoint's models says that vLLM serves this one.

    A model that is not listed counts as vLLM's if all are that are listed: vLLM lists a LoRA module
    that it loads at its first request only from then on.
    """
    own = [one for one in models if one.get("id") == name]
    if own:
        return any(one.get("owned_by") == "vllm" for one in own)
    return bool(models) and all(one.get("owned_by") == "vllm" for one in models)


def neutral_fields(asking: Asking) -> dict[str, float]:
    """The neutral settings of a request to vLLM, but for those that `request` names."""
    return {name: value for name, value in NEUTRAL.items() if name not in asking.request}


def told(sent: dict[str, float], asking: Asking) -> str:
    """What is sent to a vLLM server, and what is left to it, as a log says it."""
    left = [name for name in FILLED if name in asking.request and asking.request[name] is None]
    parts = [f"{name} {value:g}" for name, value in sent.items()]
    return (
        "the server is vLLM, which takes what a request does not say from the model's "
        f"generation_config.json; sent: {', '.join(parts) or 'nothing'}"
        + (f"; left to the server: {', '.join(left)}" if left else "")
    )
