#!/usr/bin/env bash
# peft 0.21.2: equal target_modules adapt the experts of one mixture, and silently none of another.
#
# Versions: peft 0.21.2, transformers 5.19.0, torch 2.13.0.
#
# Expected: `target_modules=["q_proj", "gate_proj", "up_proj", "down_proj"]` adapts the feed-forward
# weights of a mixture of experts, or an error or a warning says that it does not.
# Seen: transformers 5 holds the experts of a layer as one tensor, so no layer has these names. For
# Qwen3-MoE peft adapts the tensors all the same. For Mixtral, whose experts are held in the same
# way, it adapts q_proj alone. One name that matches is enough for no word to be said, and the share
# of the weights that is trained differs many times over between the two.
#
# The models are small and random. Exit status 0: seen as described. 1: something changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet peft==0.21.2 transformers==5.19.0 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, MixtralConfig, Qwen3MoeConfig

NAMES = ["q_proj", "gate_proj", "up_proj", "down_proj"]
shape = dict(
    vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2,
)
configs = {
    "qwen3_moe": Qwen3MoeConfig(
        **shape, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64
    ),
    "mixtral": MixtralConfig(**shape, num_local_experts=4, num_experts_per_tok=2),
}
found = {}
for name, config in configs.items():
    model = AutoModelForCausalLM.from_config(config)
    fused = sorted({key.split(".")[-1] for key, _ in model.named_parameters() if ".experts." in key})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted = get_peft_model(model, LoraConfig(target_modules=NAMES, task_type="CAUSAL_LM"))
    experts = [key for key, _ in adapted.named_parameters() if "lora_" in key and "experts" in key]
    found[name] = len(experts), [str(one.message) for one in said]
    print(f"{name}: experts are held as {fused}; {len(experts)} LoRA matrices on experts;", *found[name][1])
assert found["qwen3_moe"][0] > 0, "the experts of Qwen3-MoE are no longer adapted by these names"
assert found["mixtral"][0] == 0, "the experts of Mixtral are adapted by these names now"
assert not any("gate_proj" in text for text in found["mixtral"][1]), "there is a warning now"
print("as described: one set of names, two meanings, no warning")
PYTHON
