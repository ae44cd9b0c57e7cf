#!/usr/bin/env bash
# transformers 5.19.0: Gemma 2 is computed without its attention soft cap, by default.
#
# Versions: transformers 5.19.0, torch 2.13.0.
#
# Expected: a Gemma 2 model whose config sets `attn_logit_softcapping` caps its attention scores. A
# pull request of 2024 (huggingface/transformers#32865) made `eager` the default of this model for
# that reason, since `sdpa` cannot cap.
# Seen: the default is `sdpa` again, and `sdpa` leaves the cap out. No warning is given. The output
# of the default is that of a model without a cap, and differs from that of `eager`.
#
# The model is small and random. Exit status 0: seen as described. 1: something changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.19.0 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import torch
from transformers import AutoModelForCausalLM, Gemma2Config

CAP = 50.0  # as published Gemma 2 models have it


def config(cap):
    return Gemma2Config(
        vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16,
        attn_logit_softcapping=cap,
    )


def log_probabilities(model):
    with torch.no_grad():
        return torch.log_softmax(model(tokens).logits.double(), dim=-1)


lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("transformers").addHandler(handler)

torch.manual_seed(0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    capped = AutoModelForCausalLM.from_config(config(CAP)).eval()
    # Trained models have larger scores than freshly initialised ones.
    for weight in capped.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    tokens = torch.randint(0, 300, (1, 64))
    chosen = capped.config._attn_implementation
    by_default = log_probabilities(capped)
lines += [str(each.message) for each in caught]

uncapped = AutoModelForCausalLM.from_config(config(None)).eval()
uncapped.load_state_dict(capped.state_dict())
capped.set_attn_implementation("eager")
uncapped.set_attn_implementation("eager")
with_cap, without_cap = log_probabilities(capped), log_probabilities(uncapped)

error = (by_default - with_cap).abs().max().item()
same = (by_default - without_cap).abs().max().item()
print(f"default: {chosen}; lines about the cap: {[line for line in lines if 'cap' in line.lower()]}")
print(f"largest difference of a log-probability: default and eager with the cap {error:.3f} nats,")
print(f"default and eager without a cap {same:.6f} nats")
assert chosen == "sdpa", "the default of Gemma 2 is another one now"
assert error > 0.01, "the default computes the cap now"
assert same < 0.001, "the default is no longer the model without a cap"
assert not any("cap" in line.lower() for line in lines), "there is a warning now"
print("as described: the cap is left out, and nothing says so")
PYTHON
