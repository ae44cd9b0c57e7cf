"""What of a model a LoRA adapts, and how much of its weights that is.

transformers 5 holds all experts of a mixture in one tensor. peft 0.21 finds it by the experts'
former names (`gate_proj`, `w1`) in the families that it knows, and in others not. If a shared
expert has layers of these names, too, peft leaves those out.
"""

from collections import Counter
from typing import Any

from emgrid.config.sections import Training
from emgrid.runtime.errors import EmgridError

ALL = "all-linear"
LARGE = 0.01  # a part that is left out is named from this share of the layers' weights on


def wrap(model: Any, training: Training, name: str) -> Any:
    """The model, which is called `name`, with a fresh LoRA.

    Raises EmgridError where a name in `training.target_modules` matches nothing of it.
    """
    from peft import LoraConfig, get_peft_model

    wanted = training.target_modules
    lora = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        use_rslora=training.rslora,
        lora_dropout=training.dropout,
        target_modules=wanted if isinstance(wanted, str) else list(wanted),
        exclude_modules=sorted(unfit(model)) if wanted == ALL and unfit(model) else None,
        task_type="CAUSAL_LM",
    )
    names = [] if isinstance(wanted, str) else list(wanted)
    layers = ", ".join(sorted(set(map(last, linear_layers(model))) | experts(model)))
    modules = [place for place, _ in model.named_modules()]
    try:
        wrapped = get_peft_model(model, lora)
    except ValueError as problem:
        if any(map(modules_match(modules), names)) or not names:
            why = " ".join(str(problem).split())
            what = "target_modules"
            if training.dropout and "lora_dropout" in why:
                what, why = "dropout", "peft computes no dropout on experts; set it to 0"
            raise EmgridError(f"training.{what}: model {name}: {why}") from None
        missing = names
    else:
        # peft takes the names that it turned into experts out of its config.
        kept = set(wrapped.peft_config["default"].target_modules or ())
        found = modules_match(wrapped.targeted_module_names)
        missing = [one for one in names if one in kept and not found(one)]
    if missing:
        raise EmgridError(
            f"training.target_modules: model {name} has no layer {', '.join(missing)}; those that "
            f"can be adapted are {layers or 'none'}; name some of them, or write "
            f"target_modules: {ALL}"
        )
    return wrapped


def modules_match(modules: list[str]) -> Any:
    """Whether a name is that of a module, or the end of one, as peft reads it."""
    return lambda name: any(place == name or place.endswith(f".{name}") for place in modules)


def linear_layers(model: Any) -> list[str]:
    """The model's linear layers that can be adapted, without the output head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head, left_alone = model.get_output_embeddings(), unfit(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not head
        and last(name) not in left_alone
    ]


def unfit(model: Any) -> set[str]:
    """Names of linear layers that peft cannot adapt: routers that return more than a
    product, and the last layer of a Mamba block, whose kernels read its weights by themselves."""
    import torch

    def routes(module: Any) -> bool:
        own = type(module).__module__.startswith("transformers.models.")
        return own and isinstance(module, torch.nn.Linear)

    found = {last(name) for name, module in model.named_modules() if routes(module)}
    mamba = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
    return found | ({"out_proj"} if model.config.model_type in mamba else set())


def experts(model: Any) -> set[str]:
    """The names by which peft finds the experts of a mixture, in the families that it knows."""
    from peft.utils import transformers_weight_conversion as conversion

    family = conversion._MODEL_TO_CONVERSION_PATTERN.get(model.config.model_type)
    return set(conversion._MOE_TARGET_MODULE_MAPPING.get(family, ()))


def last(name: str) -> str:
    return name.rpartition(".")[2]


def coverage(model: Any) -> dict[str, Any]:
    """What a peft model's LoRA adapts.

    modules: how many there are of each name (of experts, of tensors that hold them all).
    adapted_parameters: of the LoRA itself. covered_weights: those that it adapts;
    layer_weights: all but those of embeddings and output head; share: the former of the latter.
    left_out: parts with at least LARGE of layer_weights that are not adapted.
    """
    base = model.get_base_model()
    outside = {
        id(weight)
        for module in (base.get_input_embeddings(), base.get_output_embeddings())
        if module is not None
        for weight in module.parameters()
    }
    modules, tensors = set(model.targeted_module_names), set(model.targeted_parameter_names)
    layers = covered = lora = 0
    left_out: Counter[str] = Counter()
    for whole, weight in base.named_parameters():
        name = whole.replace(".base_layer", "")
        if ".lora_" in name:
            lora += weight.numel()
        elif id(weight) not in outside:
            size = elements(weight)
            layers += size
            if name in tensors or name.rpartition(".")[0] in modules:
                covered += size
            else:
                left_out[part(name)] += size
    named = Counter([*map(last, modules), *map(part, tensors)])
    return {
        "modules": dict(sorted(named.items())),
        "adapted_parameters": lora,
        "covered_weights": covered,
        "layer_weights": layers,
        "share": round(covered / layers, 4) if layers else 0.0,
        "left_out": {name: size for name, size in left_out.most_common() if size >= LARGE * layers},
    }


def elements(weight: Any) -> int:
    """The number of a tensor's entries; bitsandbytes holds two of 4 bits in one byte."""
    shape = getattr(getattr(weight, "quant_state", None), "shape", None)
    return int(shape.numel() if shape is not None else weight.numel())


def part(name: str) -> str:
    """A weight's name without its place in the model: `experts.down_proj`."""
    words = name.removesuffix(".weight").removesuffix(".bias").split(".")
    return ".".join(word for word in words[-2:] if not word.isdigit())


def in_words(found: dict[str, Any]) -> str:
    """What is adapted, as one line."""
    modules = ", ".join(f"{name} ({count})" for name, count in found["modules"].items())
    text = (
        f"LoRA on {modules}: {found['adapted_parameters']:,} parameters, on "
        f"{found['share']:.0%} of the layers' weights"
    )
    if any(name.startswith("experts.") for name in found["left_out"]):
        text += "; the experts are not adapted"
    if found["left_out"]:
        text += f" (left out: {', '.join(found['left_out'])})"
    return text
