"""What adapter_config.json may say of an adapter that was trained elsewhere, by engine.

The transformers engine computes with peft, and merges only what it can take off again. What it
applies was compared with plain peft (tests/models/test_foreign_adapters.py); what vLLM applies is
what vLLM 0.32 says (vllm/lora/peft_helper.py). All other settings are refused, so that a setting of
a later peft is not left out in silence.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from emgrid.runtime.files import digest

# What describes an adapter, or matters to its training alone.
DESCRIBE = frozenset(
    {"auto_mapping", "base_model_name_or_path", "eva_config", "inference_mode", "lora_dropout"}
    | {"lora_ga_config", "megatron_core", "peft_type", "peft_version", "qalora_group_size"}
    | {"revision", "runtime_config", "task_type"}
)
APPLIED = frozenset(
    {"alpha_pattern", "exclude_modules", "fan_in_fan_out", "layers_pattern", "layers_to_transform"}
    | {"lora_alpha", "lora_bias", "r", "rank_pattern", "target_modules", "target_parameters"}
    | {"use_dora", "use_rslora"}
)
UNSET: tuple[Any, ...] = (None, False, {}, [], "", "none")
# Starting weights that leave the base model as it is.
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica", "lora_ga")
WHY = {
    "bias": "trains the base model's own biases, which would stay in it for the next adapter",
    "modules_to_save": "replaces whole modules of the base model, which would stay in it for the "
    "next adapter",
    "trainable_token_indices": "trains single tokens' embeddings, which would stay in the base "
    "model for the next adapter",
}
NOT_IN_VLLM = {
    "use_dora": "DoRA",
    "lora_bias": "a bias in the LoRA (lora_bias)",
    "target_parameters": "LoRA on parameters (target_parameters)",
}


def refusal(
    config: Mapping[str, Any], tensors: Iterable[str], engines: Iterable[str]
) -> str | None:
    """Why an adapter would not be computed as peft computes it, in words that follow its name; None
    if it would. tensors: the names of its weights. engines: those that draw its answers."""
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA":
        return f"is of the kind {kind!r}, and only LoRA is computed here"
    if task not in (None, "CAUSAL_LM"):
        return f"is for the task {task!r}, and only CAUSAL_LM is asked here"
    start = config.get("init_lora_weights", True)
    if (start.lower() if isinstance(start, str) else start) not in PLAIN_STARTS:
        return (
            f"begins with init_lora_weights={start!r}, which changes the base model's weights; "
            "convert it to a plain LoRA (peft: save_pretrained with "
            "path_initial_model_for_weight_conversion)"
        )
    for name, value in config.items():
        if name in DESCRIBE | APPLIED | {"init_lora_weights"} or value in UNSET:
            continue
        why = WHY.get(name, "is not known to be computed here as peft does; if it does nothing, "
                      "take it out of adapter_config.json")  # fmt: skip
        return f"sets {name}={value!r:.60}, which {why}"
    names = list(tensors)
    for name in names:
        if "lora_" not in name and not is_copied(name):
            return (
                f"holds {name}, which is no weight of a LoRA: its training changed the embeddings "
                "or whole modules, which are not applied here"
            )
    return vllm_refusal(config, names) if "vllm" in engines else None


def is_copied(tensor: str) -> bool:
    """Whether a tensor is the base model's own: peft saves that of an output head or of embeddings
    along with the LoRA on it."""
    return tensor.endswith(".base_layer.weight")


def vllm_refusal(config: Mapping[str, Any], tensors: Iterable[str]) -> str | None:
    """Why vLLM would not compute an adapter as peft does."""
    advice = "set sampling.engine: transformers for it"
    for name, what in NOT_IN_VLLM.items():
        if config.get(name) not in UNSET:
            return f"has {what}, which vLLM does not apply; {advice}"
    if any("lora_embedding_" in name for name in tensors):
        return f"has LoRA on the embeddings, which was not seen to be right in vLLM; {advice}"
    return None


def settings_digest(config: Mapping[str, Any]) -> str:
    """A hash of the settings that an adapter's effect depends on, besides its weights."""
    settings = {name: config[name] for name in sorted(APPLIED & set(config))}
    for name in ("target_modules", "exclude_modules", "target_parameters"):
        if isinstance(settings.get(name), list):  # peft writes a set, in any order
            settings[name] = sorted(settings[name])
    return digest({name: value for name, value in settings.items() if value not in UNSET})


def largest_rank(config: Mapping[str, Any]) -> int:
    """The largest rank of an adapter's layers."""
    return max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
