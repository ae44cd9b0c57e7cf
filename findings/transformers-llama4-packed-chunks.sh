#!/usr/bin/env bash
# transformers 5.19.0: Llama 4 counts its attention chunks from the start of a packed input.
#
# Versions: transformers 5.19.0, torch 2.13.0.
#
# Expected: two rows in one input, told apart by `position_ids` that begin at 0 again, give each row
# the logits that it has alone. transformers documents this way of packing without padding, and it
# holds for a Llama with full attention.
# Seen: for Llama 4, whose layers attend within chunks of `attention_chunk_size` tokens, the chunks
# of the second row begin where those of the whole input do. As long as the row is in one such chunk
# its logits are right; from the next border on they are not. No warning appears.
#
# The models are small and random. Exit status 0: seen as described. 1: something changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.19.0 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import AutoModelForCausalLM, Llama4TextConfig, LlamaConfig

CHUNK, FIRST, SECOND = 32, 20, 40
shape = dict(
    vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, initializer_range=0.3, pad_token_id=0,
)
configs = {
    "llama": LlamaConfig(**shape),
    "llama4": Llama4TextConfig(
        **shape, num_local_experts=2, num_experts_per_tok=1, intermediate_size_mlp=128,
        attention_chunk_size=CHUNK, interleave_moe_layer_step=2, no_rope_layers=[1, 1, 1, 0],
    ),
}
torch.manual_seed(0)
tokens = torch.randint(3, 300, (1, FIRST + SECOND))
places = torch.cat([torch.arange(FIRST), torch.arange(SECOND)])[None]
off = {}
for name, config in configs.items():
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.inference_mode():
        alone = model(tokens[:, FIRST:], use_cache=False).logits[0]
        packed = model(tokens, position_ids=places, use_cache=False).logits[0, FIRST:]
    off[name] = (alone - packed).abs().amax(dim=-1)
    border = CHUNK - FIRST
    print(
        f"{name}: largest difference of a logit {off[name][:border].max():.2g} before token "
        f"{border} of the second row, {off[name][border:].max():.2g} from it on"
    )
assert off["llama"].max() < 1e-3, "packed rows of a Llama are no longer kept apart"
assert off["llama4"][: CHUNK - FIRST].max() < 1e-3
assert off["llama4"][CHUNK - FIRST :].max() > 0.1, "chunks follow position_ids now"
print("as described: the chunks of a packed row begin at the wrong place")
PYTHON
