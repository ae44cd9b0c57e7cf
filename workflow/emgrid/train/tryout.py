"""The steps of a trial: everything that a grid does with a base model, on one conversation."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from emgrid.config.sections import Precision, Sampling, Training
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED
from emgrid.models.engines import Request, canary
from emgrid.runtime.errors import EmgridError, MachineError
from emgrid.runtime.job import machine_problem, ran_out_of_memory
from emgrid.train.trial_spec import Sampler, Trial, Use

TOKENS = 8  # tokens to draw
STD = 0.02  # standard deviation of the entries of the live LoRA's B matrices
# Nats per token by which two computations of the same values may differ through rounding. In half
# precision rounding exceeds the effect of most faults, so only large ones are found there.
LIMITS = {"float32": 0.001, "bfloat16": 0.3, "float16": 0.1}
EQUAL = 0.001  # the same limit for an empty LoRA, which adds zeros


@contextmanager
def one_line_failure(
    base: BaseModel, activity: str, advice: str, rule: str = "sample"
) -> Iterator[None]:
    """Turn any failure into a one-line error. A lack of memory or disk is reported as in the
    rule's jobs.

    Raises MachineError if memory ran out or vLLM did not start, otherwise EmgridError.
    """
    try:
        yield
    except EmgridError:
        raise
    except Exception as problem:
        if line := machine_problem(problem, rule):
            error = MachineError if ran_out_of_memory(problem) else EmgridError
            raise error(line) from problem
        message = " ".join(str(problem).split())[:300]
        raise EmgridError(
            f"model {base.name}: {activity} failed when the model was tried: "
            f"{type(problem).__name__}: {message}; {advice}"
        ) from problem


def train_once(base: BaseModel, training: Training, device: str, folder: Path) -> dict[str, Any]:
    """Train one step on two rows, which may be packed. Writes two adapters: `empty`, whose B
    matrices are 0, and `live`. Returns the record, with the loss before the step."""
    import torch

    from emgrid.train.adapter import write_adapter
    from emgrid.train.checkpoints import Checkpoints
    from emgrid.train.fit import MEMORY_PLANS, Job, fit, in_memory

    one_step = {"epochs": 1, "batch_size": 2, "warmup_steps": 0, "kl": None}
    row = canary.tokens(base.chat())
    job = Job(
        rows=[row, row],
        base=base,
        training=training.model_copy(update=one_step),
        seed=0,
        parent=None,
        device=device,
        checkpoints=Checkpoints(folder, "trial"),
        minutes=float("inf"),
    )
    fitted = in_memory(MEMORY_PLANS["auto"], lambda plan: fit(job, plan))
    matrices = {name: value for name, value in fitted.model.named_parameters() if "lora_B" in name}
    changed = [name for name, value in matrices.items() if bool(value.detach().any())]
    loss = fitted.losses[0]["loss"]
    finite = all(bool(value.isfinite().all()) for value in matrices.values())
    if not changed or not finite or not np.isfinite(loss):
        raise EmgridError(
            f"model {base.name}: one step of training has loss {loss:.4g} and changed "
            f"{len(changed)} of {len(matrices)} adapter matrices; use another training.precision, "
            "training.target_modules or base model"
        )
    torch.manual_seed(0)
    with torch.no_grad():
        for name, fill in (("empty", 0.0), ("live", STD)):
            for value in matrices.values():
                value.normal_(0, fill) if fill else value.zero_()
            write_adapter(fitted.model, folder / name)
    return {"loss": loss, "moved": len(changed), "parts": len(matrices), **fitted.record}


def try_transformers(
    base: BaseModel,
    precision: str,
    device: str,
    folder: Path,
    trained: dict[str, Any] | None,
    for_vllm: bool,
) -> tuple[dict[str, Any], list[float]]:
    """Read the canary, score it and draw one answer. Returns the results, and the live adapter's
    reference if vLLM will be compared with it (else an empty list)."""
    from emgrid.models.engines.transformers import TransformersEngine

    engine = TransformersEngine(base, precision, device, batch_size=2)
    limit = LIMITS[str(engine.model.dtype).removeprefix("torch.")]
    canary_row = canary.tokens(engine.chat)
    plain = engine.canary()
    expected_canary = as_defined(engine, canary_row.input_ids)
    scored = [
        value
        for value, label in zip(expected_canary, canary_row.labels[1:], strict=True)
        if label != IGNORED
    ]
    require_equal(base, "reading the canary", plain, scored, limit)
    [likelihood] = engine.log_likelihoods([canary_row])
    require_equal(base, "scoring", [likelihood / len(plain)], [float(np.mean(plain))], limit)
    reference: list[float] = []
    if trained is not None:
        loss = -float(np.mean(plain))
        if trained["method"] == "lora" and trained["precision"] == precision:
            require_equal(base, "the loss of training", [trained["loss"]], [loss], limit)
        empty = engine.reference(folder / "empty")
        require_equal(base, "reading the canary with an empty LoRA", empty, plain, EQUAL)
        if for_vllm:
            reference = engine.reference(folder / "live")
        engine.use(folder / "live")
    row = engine.row(request(), sampling(precision))
    for _ in engine.decode([row], sampling(precision)):
        pass
    expected = as_defined(engine, [*row.prompt, *row.tokens])[len(row.prompt) - 1 :]
    require_equal(base, "drawing", [row.logprob / len(expected)], [float(np.mean(expected))], limit)
    return {"attention": engine.model.config._attn_implementation}, reference


def as_defined(engine: Any, tokens: Sequence[int]) -> list[float]:
    """Log-probability (nats) of each token but the first, shape (tokens - 1,), from one eager
    forward pass without cache or padding."""
    import torch

    model = engine.model
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        values = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])[:, 0]
    finally:
        model.set_attn_implementation(implementation)
    log_probabilities: list[float] = values.tolist()
    return log_probabilities


def require_equal(
    base: BaseModel, activity: str, values: Sequence[float], expected: Sequence[float], limit: float
) -> None:
    """Raise EmgridError if log-probabilities (nats) differ by more than `limit` on average, or are
    not numbers."""
    off = float(np.abs(np.subtract(values, expected)).mean())
    if not off <= limit:
        raise EmgridError(
            f"model {base.name}: {activity} differs from what the model defines by {off:.3g} nats "
            f"per token, more than {limit:g}, so its results would be wrong; use another "
            "precision, engine or base model"
        )


def request() -> Request:
    return Request("trial", (canary.CONVERSATION[0],), seed=0)


def sampling(precision: Precision | str) -> Sampling:
    return Sampling.model_validate(
        {"answers_per_question": 1, "max_tokens": TOKENS, "precision": precision}
    )


def try_vllm(
    base: BaseModel, precision: str, device: str, live: Path, reference: list[float], use: Use
) -> dict[str, Any]:
    """Read the canary and draw one answer with vLLM, with the live adapter if there is one."""
    from emgrid.models.engines.vllm import VllmEngine

    adapters = [live] if reference else []
    prompt = base.chat().prompt(list(request().messages))
    engine = VllmEngine(
        base,
        precision,
        device,
        2,
        adapters=adapters,
        context=max(len(canary.tokens(base.chat()).input_ids), len(prompt)) + TOKENS + 1,
        logprobs="processed",
        settings=use.engines,
    )
    engine.prove({live: reference} if reference else {})
    [[completion]] = list(engine.complete([request()], sampling(precision)))
    return {"drawn": completion.answer_tokens}


def run(
    base: BaseModel,
    trial: Trial,
    device: str,
    folder: Path,
    so_far: Callable[[dict[str, Any]], object] = bool,
) -> tuple[dict[str, Any], list[Sampler]]:
    """Try everything. Returns the results, and the samplers that this machine cannot try, which
    are left to the sample job. so_far: called with the results of training, before sampling."""
    results: dict[str, Any] = {}
    trained = None
    if trial.training is not None:
        advice = "use another base model, training.method or training.precision"
        with one_line_failure(base, "training a LoRA", advice, "train"):
            trained = train_once(base, trial.training, device, folder)
        results["training"] = trained
        trained = trained | {
            "method": trial.training.method,
            "precision": trial.training.precision,
        }
        so_far(results)
    if trained and trained["method"] == "qlora" and device == "cuda":
        print("a GPU for 4 bits may not hold the whole model, so the sample job tries to sample")
        return results, list(trial.use.samplers)
    untried = []
    for sampler in trial.use.samplers:
        name = f"{sampler.engine}, {sampler.precision}"
        try:
            results[name] = try_sampler(base, sampler, trial.use, device, folder, trained)
        except MachineError as problem:
            if trained is None:
                raise
            print(f"{name}: not tried here ({problem}); the sample job tries it", flush=True)
            untried.append(sampler)
    return results, untried


def try_sampler(
    base: BaseModel,
    sampler: Sampler,
    use: Use,
    device: str,
    folder: Path,
    trained: dict[str, Any] | None,
) -> dict[str, Any]:
    """Score with transformers, and sample with the sampler's engine."""
    free_memory()
    advice = "use another base model, or sampling.engine: vllm if that computes it"
    reference: list[float] = []
    outcome: dict[str, Any] = {}
    try:
        with one_line_failure(base, "scoring or sampling by transformers", advice):
            outcome, reference = try_transformers(
                base, sampler.precision, device, folder, trained, sampler.engine == "vllm"
            )
    except MachineError as problem:
        # vLLM splits a model among GPUs, and a single one may not hold it.
        if sampler.engine != "vllm" or trained:
            raise
        print(f"transformers: not tried here ({problem})", flush=True)
    if sampler.engine == "vllm":
        free_memory()
        advice = "use sampling.engine: transformers, or another base model"
        with one_line_failure(base, "sampling by vLLM", advice):
            outcome = try_vllm(base, sampler.precision, device, folder / "live", reference, use)
    return outcome


def free_memory() -> None:
    """Free the memory of the previous engine."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
