"""The vLLM engine: one base model in this process, with all adapters of its arms live at once."""

import importlib
import json
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import Handler, LogRecord, getLogger
from pathlib import Path
from typing import Any, Literal

from emgrid.config.sections import Engines, Sampling
from emgrid.models.base_model import BaseModel, pick_precision
from emgrid.models.chat_template import IGNORED
from emgrid.models.engines import Completion, Request, canary, completion
from emgrid.runtime.errors import EmgridError, MachineError, ran_out_of_memory, running_rule
from emgrid.runtime.rules import JOBS
from emgrid.runtime.timing import computing

CPU_CACHE = "2"  # GiB for the key-value cache where there is no GPU
# A prompt is read whole. Of one that is read in part, vLLM 0.32 takes back a seeded draw, which
# generators of random numbers on a CPU refuse ("does not use offset").
ON_CPU = {"enforce_eager": True, "enable_chunked_prefill": False}
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM makes room for
MOST_SLOTS = 8
LAST_LINES = 12
STARTING = "starting"
DRAWN = 8  # tokens that the base model draws beside an adapter, to be compared
# What an engine's complaint holds, in lower case, and what may be changed.
ADVICE = {
    "address already in use": "its port is taken: unset VLLM_PORT, or set it to a free one",
    "eaddrinuse": "its port is taken: unset VLLM_PORT, or set it to a free one",
    "out of memory": "memory ran out: lower engines.memory_share, engines.lora_slots or "
    "resources.{batch}.batch_size, or give the job a larger GPU",
    "allocate memory": "main memory ran out: lower VLLM_CPU_KVCACHE_SPACE (GiB) or "
    "resources.{batch}.batch_size, or raise resources.{section}.mem_mb",
    "maximum model length": "a prompt is longer than that: raise engines.context, or leave it out",
    "free memory": "other programs hold the GPU's memory: stop them, or lower engines.memory_share",
    "cache": "too little memory is left for answers: raise engines.memory_share, or lower "
    "engines.context, sampling.max_tokens or engines.lora_slots",
    "dora": "it holds plain LoRA adapters alone: train this one again, or use engine: transformers",
    "lora": "it cannot hold this adapter: check training.rank and training.target_modules against "
    "vLLM's list of supported models, or use engine: transformers",
}
# What a complaint at the start holds, in lower case, if no other machine would help.
UNFIT = ("architecture", "model type", "this model", "lora", "weight files", "user-specified")


class LastLines(Handler):
    """The last lines that vLLM logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LAST_LINES)

    def emit(self, record: LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


LOG = LastLines()


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn whatever ends the engine into its last lines on stderr and an error of one line:
    MachineError where memory ran out, or where the engine did not start though it knows the
    model."""
    try:
        yield
    except (EmgridError, KeyboardInterrupt):
        raise
    except Exception as problem:
        print("the engine's last lines:", *LOG.lines, sep="\n  ", file=sys.stderr)
        said = f"{type(problem).__name__}: {problem}".strip()
        known = [advice for mark, advice in ADVICE.items() if mark in said.lower()]
        first = said.splitlines()[0][:300]
        what = advised(known[0]) if known else "its log, above, may say more"
        fit = doing == STARTING and not any(mark in said.lower() for mark in UNFIT)
        kind = MachineError if fit or ran_out_of_memory(problem) else EmgridError
        raise kind(f"vLLM ended while {doing}: {first}; {what}") from problem


def advised(advice: str) -> str:
    """An advice with the sections of `resources` that this process's rule reads."""
    job = JOBS.get(running_rule(), JOBS["sample"])
    return advice.format(section=job.section, batch=job.batch or job.section)


class VllmEngine:
    """A base model in vLLM; equal prompt beginnings are computed once.

    adapters: folders of all adapters that requests may name. context: tokens of the longest prompt
    and its answer (None: what the model allows). logprobs: of the model's own distribution
    ("raw"), or of the one that is drawn from ("processed").
    """

    def __init__(
        self,
        base: BaseModel,
        precision: str,
        device: str,
        batch_size: int,
        *,
        adapters: Sequence[Path] = (),
        context: int | None = None,
        logprobs: Literal["raw", "processed"] = "raw",
        settings: Engines = Engines(),  # noqa: B008 (frozen)
    ) -> None:
        prepare_environment(device)
        try:
            vllm: Any = importlib.import_module("vllm")
        except ImportError:
            raise EmgridError(
                "engine: vllm needs vLLM in this environment: pip install -e '.[vllm]', or "
                "envs/requirements-vllm.txt without a GPU"
            ) from None
        getLogger("vllm").addHandler(LOG)
        self.base, self.device = base, device
        self.chat = base.chat()
        base.refuse_edited()
        self.parameters = vllm.SamplingParams
        self.precision = str(pick_precision(precision, device)).removeprefix("torch.")
        self.loras = {path: lora_request(place, path) for place, path in enumerate(adapters, 1)}
        place = ON_CPU if device == "cpu" else on_gpus(settings)
        started = time.monotonic()
        with explained(STARTING):
            self.model = vllm.LLM(
                model=str(base.path),
                dtype=self.precision,
                max_model_len=settings.context or context,
                max_num_seqs=batch_size,
                max_logprobs=-1,
                enable_prefix_caching=settings.prefix_caching,
                generation_config="vllm",
                logprobs_mode=f"{logprobs}_logprobs",
                trust_remote_code=False,
                **place,
                **lora_options(adapters, settings, device),
            )
        took = time.monotonic() - started
        print(f"vLLM started in {took:.0f} s, with {len(adapters)} adapters", flush=True)

    def prove(self, references: dict[Path, list[float]]) -> None:
        """Compare every adapter's canary with the base model's and with its reference; and the
        base model's, beside each adapter, with what it was before any was there."""
        without, alone = self.canary(None), self.base_beside(None)
        for adapter, reference in references.items():
            live = self.canary(adapter)
            print(
                canary.check(adapter, without, live, reference, self.precision),
                flush=True,
            )
        for adapter in references:
            canary.check_base(adapter, alone, self.base_beside(adapter), self.precision)

    def base_beside(self, adapter: Path | None) -> list[float]:
        """Log-probabilities of the tokens that the base model finds likeliest behind the canary, in
        one batch with a request for this adapter."""
        prompt = {"prompt_token_ids": canary.tokens(self.chat).input_ids}
        settings = self.parameters(
            max_tokens=DRAWN, min_tokens=DRAWN, temperature=0, logprobs=1, detokenize=False
        )
        loras = [None, self.loras[adapter]] if adapter else [None]
        with explained("reading the base model beside an adapter"), computing():
            said = self.model.generate(
                [prompt] * len(loras), settings, lora_request=loras, use_tqdm=False
            )[0]
        return [max(one.logprob for one in found.values()) for found in said.outputs[0].logprobs]

    def canary(self, adapter: Path | None) -> list[float]:
        """Log-probabilities of the canary's tokens, as the engine has this adapter."""
        row = canary.tokens(self.chat)
        settings = self.parameters(max_tokens=1, temperature=0, prompt_logprobs=0)
        prompt = {"prompt_token_ids": row.input_ids}
        with explained(f"reading {adapter or 'the base model'}"), computing():
            lora = self.loras[adapter] if adapter else None
            output = self.model.generate([prompt], settings, lora_request=lora, use_tqdm=False)[0]
        scored = [place for place, label in enumerate(row.labels) if label != IGNORED]
        return [output.prompt_logprobs[place][row.input_ids[place]].logprob for place in scored]

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions as answers end; requests of all adapters are batched together."""
        engine = self.model.llm_engine
        asked = {str(number): request for number, request in enumerate(requests)}
        with explained("taking requests"):
            for number, request in asked.items():
                prompt = self.chat.prompt(list(request.messages), sampling.thinking)
                engine.add_request(
                    number,
                    {"prompt_token_ids": prompt},
                    self.sampling_parameters(request, sampling),
                    lora_request=self.loras[request.adapter] if request.adapter else None,
                )
        while engine.has_unfinished_requests():
            with explained("drawing answers"), computing():
                outputs = engine.step()
            ended = [output for output in outputs if output.finished]
            if ended:
                yield [self.completion(asked[one.request_id], one, sampling) for one in ended]

    def sampling_parameters(self, request: Request, sampling: Sampling) -> Any:
        return self.parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request.seed % 2**63,
            logprobs=0,
            stop_token_ids=self.base.eos_token_ids,
            detokenize=False,
        )

    def completion(self, request: Request, output: Any, sampling: Sampling) -> Completion:
        drawn = output.outputs[0]
        logprob = 0.0 if sampling.temperature == 0 else drawn.cumulative_logprob
        tokens = list(drawn.token_ids)
        prompt_tokens = len(output.prompt_token_ids)
        return completion(self.chat, request, prompt_tokens, tokens, logprob, sampling)

    def read(self, prompts: Sequence[list[int]]) -> "PrefixedPrompts":
        """Prompts that may be continued in several ways."""
        return PrefixedPrompts(self, prompts)


def prepare_environment(device: str) -> None:
    """No usage reports; the engine in this very process, so that nothing outlives it; its log on,
    which trl's import turns off where nothing is set. On a CPU as many threads as OMP_NUM_THREADS
    says, and not bound to cores: every job would bind its own to the first ones."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    if os.environ.get("VLLM_LOGGING_LEVEL") != "DEBUG":
        os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    if device == "cpu":
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE)
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def on_gpus(settings: Engines) -> dict[str, Any]:
    """The model is split among all GPUs that the job has."""
    cuda = importlib.import_module("torch").cuda
    return {
        "gpu_memory_utilization": settings.memory_share,
        "tensor_parallel_size": max(cuda.device_count(), 1),
    }


def lora_request(number: int, adapter: Path) -> Any:
    request: Any = importlib.import_module("vllm.lora.request").LoRARequest
    return request(str(adapter), number, str(adapter))


def lora_options(adapters: Sequence[Path], settings: Engines, device: str) -> dict[str, Any]:
    """Room for all adapters: the rank of the largest, and as many slots as there are, up to a
    bound; those beyond it wait in main memory.

    vLLM 0.32's kernels for CPUs give a request without an adapter the last slot's one, beside
    requests with adapters. So on a CPU there is one slot more than adapters, and it stays empty.
    """
    if not adapters:
        return {}
    configs = [json.loads((path / "adapter_config.json").read_text()) for path in adapters]
    largest = max(config["r"] for config in configs)
    rank = next((rank for rank in RANKS if rank >= largest), None)
    if rank is None:
        raise EmgridError(
            f"training.rank: vLLM holds adapters of rank {RANKS[-1]} at most, not {largest}; "
            "train with a lower rank, or use engine: transformers"
        )
    slots = settings.lora_slots or min(len(adapters), MOST_SLOTS)
    if device == "cpu":
        slots = len(adapters) + 1
    return {
        "enable_lora": True,
        "max_lora_rank": rank,
        "max_loras": slots,
        "max_cpu_loras": max(slots, len(adapters)),
    }


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
        with explained("judging"), computing():
            outputs = self.engine.model.generate(asked, settings, use_tqdm=False)
        first = [output.outputs[0].logprobs[0] for output in outputs]
        return [[math.exp(found[token].logprob) for token in wanted] for found in first]
