"""vLLM in-process, for the exact probabilities of given tokens.

It starts child processes that import the main module again, so that module must be guarded by
`if __name__ == "__main__"`.
"""

import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

from emgrid.errors import EmgridError
from emgrid.models import BaseModel, pick_precision

CPU_CACHE = "2"  # GiB of key-value cache without a GPU; vLLM would take far more


class VllmEngine:
    """A base model in vLLM; equal prompt beginnings are computed once."""

    def __init__(self, base: BaseModel, precision: str, device: str, batch_size: int) -> None:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if device == "cpu":
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE)
        try:
            vllm: Any = importlib.import_module("vllm")
        except ImportError:
            raise EmgridError(
                "engine: vllm needs vLLM in this environment: pip install -e '.[vllm]', or "
                "envs/requirements-vllm.txt without a GPU"
            ) from None
        self.parameters = vllm.SamplingParams
        dtype = str(pick_precision(precision, device)).removeprefix("torch.")
        self.model = vllm.LLM(
            model=str(base.path),
            dtype=dtype,
            max_num_seqs=batch_size,
            max_logprobs=-1,
            enforce_eager=device == "cpu",
            enable_prefix_caching=True,
            generation_config="vllm",
            trust_remote_code=False,
        )

    def read(self, prompts: Sequence[list[int]]) -> "PrefixedPrompts":
        """Prompts that may be continued in several ways."""
        return PrefixedPrompts(self, prompts)


class PrefixedPrompts:
    """Prompts, as token ids, whose continuations share their cached beginning."""

    def __init__(self, engine: VllmEngine, prompts: Sequence[list[int]]) -> None:
        self.engine = engine
        self.prompts = prompts

    def next_probabilities(
        self, rows: Sequence[tuple[int, Sequence[int]]], wanted: Sequence[int]
    ) -> list[list[float]]:
        """Probabilities of the wanted tokens to come next, shape (rows, wanted); a row is a
        prompt's place and the tokens said since."""
        asked = [{"prompt_token_ids": [*self.prompts[place], *path]} for place, path in rows]
        settings = self.engine.parameters(
            max_tokens=1, temperature=0, logprob_token_ids=list(wanted), detokenize=False
        )
        outputs = self.engine.model.generate(asked, settings, use_tqdm=False)
        first = [output.outputs[0].logprobs[0] for output in outputs]
        return [[math.exp(found[token].logprob) for token in wanted] for found in first]
