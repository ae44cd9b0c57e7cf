"""The steps of a trial: what a grid does with a base model, on one conversation."""

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
from emgrid.runtime.errors import EmgridError, MachineError, machine_problem, ran_out_of_memory
from emgrid.train.trial import Sampler, Trial, Use

TOKENS = 8  # that are drawn
STD = 0.02  # of the entries of the live LoRA's B
# Nats a token, by which two ways to compute one thing may differ: rounding, which in half precision
# is more than most faults make, so that only a coarse one shows there.
LIMITS = {"float32": 0.001, "bfloat16": 0.3, "float16": 0.1}
EQUAL = 0.001  # the same for an empty LoRA, which adds zeros


@contextmanager
def trying(base: BaseModel, what: str, advice: str, rule: str = "sample") -> Iterator[None]:
    """Turn any failure into one line; a lack of memory or disk is reported as in the rule's jobs.

    Raises MachineError if memory ran out or vLLM did not start, else EmgridError.
    """
    try:
        yield
    except EmgridError:
        raise
    except Exception as problem:
        if line := machine_problem(problem, rule):
            kind = MachineError if ran_out_of_memory(problem) else EmgridError
            raise kind(line) from problem
        said = " ".join(str(problem).split())[:300]
        raise EmgridError(
            f"model {base.name}: {what} failed when the model was tried: "
            f"{type(problem).__name__}: {said}; {advice}"
        ) from problem


def train_once(base: BaseModel, training: Training, device: str, folder: Path) -> dict[str, Any]:
    """One step of the trainer, on two rows that it may pack. Writes two adapters: `empty`, whose
    B is 0, and `live`; returns the record, with the loss before the step."""
    import torch

    from emgrid.train.adapter import write_adapter
    from emgrid.train.checkpoints import Checkpoints
    from emgrid.train.fit import WAYS, Job, fit, in_memory

    short = {"epochs": 1, "batch_size": 2, "warmup_steps": 0}
    row = canary.tokens(base.chat())
    job = Job(
        rows=[row, row],
        base=base,
        training=training.model_copy(update=short),
        seed=0,
        parent=None,
        device=device,
        checkpoints=Checkpoints(folder, "trial"),
        minutes=float("inf"),
    )
    fitted = in_memory(WAYS["auto"], lambda way: fit(job, way))
    halves = {name: value for name, value in fitted.model.named_parameters() if "lora_B" in name}
    moved = [name for name, value in halves.items() if bool(value.detach().any())]
    loss = fitted.losses[0]["loss"]
    whole = all(bool(value.isfinite().all()) for value in halves.values())
    if not moved or not whole or not np.isfinite(loss):
        raise EmgridError(
            f"model {base.name}: one step of training has loss {loss:.4g} and changed "
            f"{len(moved)} of {len(halves)} parts of the adapter; use another training.precision, "
            "training.target_modules or base model"
        )
    torch.manual_seed(0)
    with torch.no_grad():
        for name, fill in (("empty", 0.0), ("live", STD)):
            for value in halves.values():
                value.normal_(0, fill) if fill else value.zero_()
            write_adapter(fitted.model, folder / name)
    return {"loss": loss, "moved": len(moved), "parts": len(halves), **fitted.record}


def try_transformers(
    base: BaseModel,
    precision: str,
    device: str,
    folder: Path,
    trained: dict[str, Any] | None,
    for_vllm: bool,
) -> tuple[dict[str, Any], list[float]]:
    """Canary, one likelihood and one answer; what was found, and the live adapter's reference if
    vLLM is to be compared with it."""
    from emgrid.models.engines.transformers import TransformersEngine

    engine = TransformersEngine(base, precision, device, batch_size=2)
    limit = LIMITS[str(engine.model.dtype).removeprefix("torch.")]
    row = canary.tokens(engine.chat)
    plain = engine.canary()
    whole = as_defined(engine, row.input_ids)
    scored = [value for value, label in zip(whole, row.labels[1:], strict=True) if label != IGNORED]
    agree(base, "reading the canary", plain, scored, limit)
    [likelihood] = engine.log_likelihoods([row])
    agree(base, "scoring", [likelihood / len(plain)], [float(np.mean(plain))], limit)
    reference: list[float] = []
    if trained is not None:
        loss = -float(np.mean(plain))
        if trained["method"] == "lora" and trained["precision"] == precision:
            agree(base, "the loss of training", [trained["loss"]], [loss], limit)
        empty = engine.reference(folder / "empty")
        agree(base, "reading the canary with an empty LoRA", empty, plain, EQUAL)
        if for_vllm:
            reference = engine.reference(folder / "live")
        engine.use(folder / "live")
    drawn = engine.row(request(), sampling(precision))
    for _ in engine.decode([drawn], sampling(precision)):
        pass
    said = as_defined(engine, [*drawn.prompt, *drawn.tokens])[len(drawn.prompt) - 1 :]
    agree(base, "drawing", [drawn.logprob / len(said)], [float(np.mean(said))], limit)
    return {"attention": engine.model.config._attn_implementation}, reference


def as_defined(engine: Any, tokens: Sequence[int]) -> list[float]:
    """Log-probability of each token but the first, by one eager pass without cache or padding."""
    import torch

    model = engine.model
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        values = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])[:, 0]
    finally:
        model.set_attn_implementation(usual)
    found: list[float] = values.tolist()
    return found


def agree(
    base: BaseModel, what: str, found: Sequence[float], wanted: Sequence[float], limit: float
) -> None:
    """Raise EmgridError if log-probabilities differ by more than rounding, or are not numbers."""
    off = float(np.abs(np.subtract(found, wanted)).mean())
    if not off <= limit:
        raise EmgridError(
            f"model {base.name}: {what} differs from what the model defines by {off:.3g} nats a "
            f"token, more than {limit:g}, so its results would be wrong; use another precision, "
            "engine or base model"
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
    """Canary and one answer by vLLM, with the live adapter if there is one."""
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
    [[one]] = list(engine.complete([request()], sampling(precision)))
    return {"drawn": one.answer_tokens}


def run(
    base: BaseModel,
    trial: Trial,
    device: str,
    folder: Path,
    so_far: Callable[[dict[str, Any]], object] = bool,
) -> tuple[dict[str, Any], list[Sampler]]:
    """Try everything; what was found, and the samplers that this machine cannot try, which the job
    that samples does. so_far: is called with what training showed, before a sampler is tried."""
    found: dict[str, Any] = {}
    trained = None
    if trial.training is not None:
        advice = "use another base model, training.method or training.precision"
        with trying(base, "training a LoRA", advice, "train"):
            trained = train_once(base, trial.training, device, folder)
        found["training"] = trained
        trained = trained | {
            "method": trial.training.method,
            "precision": trial.training.precision,
        }
        so_far(found)
    if trained and trained["method"] == "qlora" and device == "cuda":
        print("a GPU for 4 bits may not hold the whole model: the sample job tries to sample")
        return found, list(trial.use.samplers)
    left = []
    for one in trial.use.samplers:
        name = f"{one.engine}, {one.precision}"
        try:
            found[name] = try_sampler(base, one, trial.use, device, folder, trained)
        except MachineError as problem:
            if trained is None:
                raise
            print(f"{name}: not tried here ({problem}); the sample job tries it", flush=True)
            left.append(one)
    return found, left


def try_sampler(
    base: BaseModel,
    one: Sampler,
    use: Use,
    device: str,
    folder: Path,
    trained: dict[str, Any] | None,
) -> dict[str, Any]:
    """Scoring by transformers and sampling by the sampler's engine."""
    release()
    advice = "use another base model, or sampling.engine: vllm if that computes it"
    reference: list[float] = []
    told: dict[str, Any] = {}
    try:
        with trying(base, "scoring or sampling by transformers", advice):
            told, reference = try_transformers(
                base, one.precision, device, folder, trained, one.engine == "vllm"
            )
    except MachineError as problem:
        # vLLM splits a model among GPUs of which one alone may not hold it.
        if one.engine != "vllm" or trained:
            raise
        print(f"transformers: not tried here ({problem})", flush=True)
    if one.engine == "vllm":
        release()
        advice = "use sampling.engine: transformers, or another base model"
        with trying(base, "sampling by vLLM", advice):
            told = try_vllm(base, one.precision, device, folder / "live", reference, use)
    return told


def release() -> None:
    """Free what an engine before held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
