"""Neutral values for sampling settings that a vLLM server would take from its model's files.

vLLM fills settings that a request lacks (`ChatCompletionRequest.to_sampling_params`) from the
model's generation_config.json: with `top_k: 1` there, all answers would be equal. Neutral values
are sent to prevent this. Other servers are sent nothing, because they may reject unknown fields.
"""

from typing import Any

from emgrid.config.served import MAY_LACK, Asking

# All settings that vLLM 0.32 reads from generation_config.json except temperature and top_p, which
# every request has. All versions read -1 as no top-k; early ones do not accept 0.
NEUTRAL: dict[str, float] = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
FILLED = (*NEUTRAL, *(name for name in MAY_LACK if name != "seed"))


def is_vllm(models: list[dict[str, Any]], name: str) -> bool:
    """Whether vLLM serves the model `name`, by the endpoint's list of models.

    If the model is not listed, all listed models must be vLLM's: vLLM lists a LoRA module only
    after its first request has loaded it.
    """
    matching = [model for model in models if model.get("id") == name]
    if matching:
        return any(model.get("owned_by") == "vllm" for model in matching)
    return bool(models) and all(model.get("owned_by") == "vllm" for model in models)


def neutral_fields(asking: Asking) -> dict[str, float]:
    """The neutral settings of a request to vLLM, except those that `request` names."""
    return {name: value for name, value in NEUTRAL.items() if name not in asking.request}


def neutral_message(sent: dict[str, float], asking: Asking) -> str:
    """A line for the log: what is sent to a vLLM server and what is left to it."""
    unset = [name for name in FILLED if name in asking.request and asking.request[name] is None]
    parts = [f"{name} {value:g}" for name, value in sent.items()]
    return (
        "the server is vLLM, which takes settings that a request lacks from the model's "
        f"generation_config.json; sent: {', '.join(parts) or 'nothing'}"
        + (f"; left to the server: {', '.join(unset)}" if unset else "")
    )
