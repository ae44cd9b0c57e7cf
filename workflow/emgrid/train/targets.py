"""Which parts of a model a LoRA adapts, and what share of its weights that is.

transformers 5 holds all experts of a mixture in one tensor. peft 0.21 finds it by the experts'
former names (`gate_proj`, `w1`), but only in the families that it knows. If a shared expert has
layers of these names, too, peft leaves those out.
"""

from collections import Counter
from typing import Any

from emgrid.config.sections import Training
from emgrid.runtime.errors import EmgridError

ALL = "all-linear"
LARGE = 0.01  # parts with at least this share of the weights are named if they are left out


def wrap(model: Any, training: Training, name: str) -> Any:
    """The model, called `name` in messages, with a new LoRA.

    Raises EmgridError if a name in `training.target_modules` matches none of its layers.
    """
    from peft import LoraConfig, get_peft_model

    targets = training.target_modules
    lora = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        use_rslora=training.rslora,
        lora_dropout=training.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=sorted(not_adaptable(model))
        if targets == ALL and not_adaptable(model)
        else None,
        task_type="CAUSAL_LM",
    )
    names = [] if isinstance(targets, str) else list(targets)
    layers = ", ".join(sorted(set(map(last_part, linear_layers(model))) | experts(model)))
    modules = [path for path, _ in model.named_modules()]
    try:
        wrapped = get_peft_model(model, lora)
    except ValueError as problem:
        if any(map(modules_match(modules), names)) or not names:
            reason = " ".join(str(problem).split())
            setting = "target_modules"
            if training.dropout and "lora_dropout" in reason:
                setting, reason = "dropout", "peft computes no dropout on experts; set it to 0"
            raise EmgridError(f"training.{setting}: model {name}: {reason}") from None
        missing = names
    else:
        # peft removes from its config the names that it has matched to experts.
        remaining = set(wrapped.peft_config["default"].target_modules or ())
        matches = modules_match(wrapped.targeted_module_names)
        missing = [target for target in names if target in remaining and not matches(target)]
    if missing:
        raise EmgridError(
            f"training.target_modules: model {name} has no layer {', '.join(missing)}; those that "
            f"can be adapted are {layers or 'none'}; name some of them, or write "
            f"target_modules: {ALL}"
        )
    return wrapped


def modules_match(modules: list[str]) -> Any:
    """A test whether a name is a module's path or its end, which is how peft matches names."""
    return lambda name: any(place == name or place.endswith(f".{name}") for place in modules)


def linear_layers(model: Any) -> list[str]:
    """The model's linear layers that can be adapted, without the output head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head, left_alone = model.get_output_embeddings(), not_adaptable(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not head
        and last_part(name) not in left_alone
    ]


def not_adaptable(model: Any) -> set[str]:
    """Names of linear layers that peft cannot adapt: routers, which return more than a matrix
    product, and the last layer of a Mamba block, whose kernels read the weights directly."""
    import torch

    def routes(module: Any) -> bool:
        in_transformers = type(module).__module__.startswith("transformers.models.")
        return in_transformers and isinstance(module, torch.nn.Linear)

    routers = {last_part(name) for name, module in model.named_modules() if routes(module)}
    mamba = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
    return routers | ({"out_proj"} if model.config.model_type in mamba else set())


def experts(model: Any) -> set[str]:
    """The names by which peft finds a mixture's experts; empty for families it does not know."""
    from peft.utils import transformers_weight_conversion as conversion

    family = conversion._MODEL_TO_CONVERSION_PATTERN.get(model.config.model_type)
    return set(conversion._MOE_TARGET_MODULE_MAPPING.get(family, ()))


def last_part(name: str) -> str:
    return name.rpartition(".")[2]


def coverage(model: Any) -> dict[str, Any]:
    """What a peft model's LoRA adapts.

    modules: adapted modules by name, with their number (for experts, that of shared tensors).
    adapted_parameters: parameters of the LoRA. covered_weights: weights that it adapts.
    layer_weights: all weights except those of embeddings and output head. share: covered_weights
    divided by layer_weights. left_out: parts with at least LARGE of layer_weights that are not
    adapted, with their size.
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
    for path, weight in base.named_parameters():
        name = path.replace(".base_layer", "")
        if ".lora_" in name:
            lora += weight.numel()
        elif id(weight) not in outside:
            size = elements(weight)
            layers += size
            if name in tensors or name.rpartition(".")[0] in modules:
                covered += size
            else:
                left_out[part(name)] += size
    counts = Counter([*map(last_part, modules), *map(part, tensors)])
    return {
        "modules": dict(sorted(counts.items())),
        "adapted_parameters": lora,
        "covered_weights": covered,
        "layer_weights": layers,
        "share": round(covered / layers, 4) if layers else 0.0,
        "left_out": {name: size for name, size in left_out.most_common() if size >= LARGE * layers},
    }


def elements(weight: Any) -> int:
    """The number of a tensor's entries; bitsandbytes stores two 4-bit entries in a byte."""
    shape = getattr(getattr(weight, "quant_state", None), "shape", None)
    return int(shape.numel() if shape is not None else weight.numel())


def part(name: str) -> str:
    """A weight's name without its path in the model, such as `experts.down_proj`."""
    words = name.removesuffix(".weight").removesuffix(".bias").split(".")
    return ".".join(word for word in words[-2:] if not word.isdigit())


def coverage_line(adapted: dict[str, Any]) -> str:
    """A coverage record as one line."""
    modules = ", ".join(f"{name} ({count})" for name, count in adapted["modules"].items())
    text = (
        f"LoRA on {modules}: {adapted['adapted_parameters']:,} parameters, on "
        f"{adapted['share']:.0%} of the layers' weights"
    )
    if any(name.startswith("experts.") for name in adapted["left_out"]):
        text += "; the experts are not adapted"
    if adapted["left_out"]:
        text += f" (left out: {', '.join(adapted['left_out'])})"
    return text
