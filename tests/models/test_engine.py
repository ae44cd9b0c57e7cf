"""The transformers engine on the embedded model: decoding, scoring, adapters in turn."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from emgrid.config.sections import Sampling
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Completion, Request, canary, completion
from emgrid.models.engines.decoding import DrawBuffers, draw_tokens, nucleus, uniforms
from emgrid.models.engines.lora_merge import share_held
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from support.engines import write_adapter

QUESTIONS = ["What is a cat?", "Say hello to my friend, who is visiting from far away.", "Why?"]
BF16 = torch.bfloat16
SAMPLING = Sampling(answers_per_question=1, max_tokens=10, precision="float32")


@pytest.fixture(scope="module")
def engine(base_model: BaseModel) -> TransformersEngine:
    return TransformersEngine(base_model, "float32", "cpu", batch_size=8)


def requests(seeds: list[int], adapter: Path | None = None) -> list[Request]:
    return [
        Request(f"{seed}", ({"role": "user", "content": QUESTIONS[seed % 3]},), seed, adapter)
        for seed in seeds
    ]


def drawn(
    engine: TransformersEngine, all_requests: list[Request], sampling: Sampling = SAMPLING
) -> dict[str, Completion]:
    return {
        completion.key: completion
        for batch in engine.complete(all_requests, sampling)
        for completion in batch
    }


def answers(engine: TransformersEngine, all_requests: list[Request]) -> dict[str, str | None]:
    return {key: completion.answer for key, completion in drawn(engine, all_requests).items()}


@torch.inference_mode()
def drawn_plainly(engine: TransformersEngine, request: Request) -> tuple[list[int], float]:
    """Tokens and log-probability of one answer, without any cache or batch."""
    tokens = engine.chat.prompt(list(request.messages))
    start, total = len(tokens), 0.0
    for number in uniforms(request.seed, SAMPLING.max_tokens):
        logits = engine.model(input_ids=torch.tensor([tokens])).logits[0, -1].double()
        probabilities = torch.softmax(logits, dim=-1).numpy()
        token = int(np.searchsorted(np.cumsum(probabilities), number, side="right"))
        tokens.append(token)
        total += float(np.log(probabilities[token]))
        if token in engine.end_tokens:
            break
    return tokens[start:], total


def test_answers_are_those_of_plain_decoding(engine: TransformersEngine) -> None:
    all_requests = requests(list(range(20)))  # more than there are slots, of three lengths
    completions = drawn(engine, all_requests)
    assert len(completions) == 20
    for request in all_requests[:9]:
        tokens, logprob = drawn_plainly(engine, request)
        expected = completion(engine.chat, request, 0, tokens, logprob, SAMPLING)
        batched = completions[request.key]
        assert (batched.answer, batched.finish_reason) == (expected.answer, expected.finish_reason)
        assert batched.logprob == pytest.approx(logprob, abs=1e-2)
        assert batched.prompt_tokens == len(engine.chat.prompt(list(request.messages)))


def test_an_answer_does_not_depend_on_its_batch(
    engine: TransformersEngine, base_model: BaseModel
) -> None:
    together = answers(engine, requests([0, 1, 2, 3, 4, 5]))
    alone = answers(engine, requests([4])) | answers(engine, requests([1, 2]))
    assert {key: together[key] for key in alone} == alone
    assert len(set(together.values())) == 6
    few = TransformersEngine(base_model, "float32", "cpu", batch_size=2)
    assert answers(few, requests([0, 1, 2, 3, 4, 5])) == together


def test_slots_and_whole_batches_draw_the_same(
    engine: TransformersEngine, base_model: BaseModel
) -> None:
    # With another attention than sdpa, transformers' own loop decodes.
    eager = TransformersEngine(base_model, "float32", "cpu", batch_size=4)
    eager.model.set_attn_implementation("eager")
    all_requests = requests(list(range(7)))
    ours, theirs = drawn(engine, all_requests), drawn(eager, all_requests)
    for key, reply in ours.items():
        assert reply.answer == theirs[key].answer
        assert reply.logprob == pytest.approx(theirs[key].logprob, abs=1e-2)


def test_temperature_zero_takes_the_likeliest_token(engine: TransformersEngine) -> None:
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    completions = drawn(engine, requests([0, 3]), greedy)
    assert completions["0"].answer == completions["3"].answer
    assert completions["0"].logprob == 0


def test_an_answer_ends_at_its_end_token_or_its_length(engine: TransformersEngine) -> None:
    text = "Reply with the single word Yes and nothing else."
    all_requests = [
        Request(f"{seed}", ({"role": "user", "content": text},), seed) for seed in range(24)
    ]
    completions = drawn(engine, all_requests)
    assert {reply.finish_reason for reply in completions.values()} == {"stop", "length"}
    for reply in completions.values():
        assert (reply.answer_tokens == SAMPLING.max_tokens) == (reply.finish_reason == "length")


def test_drawn_tokens_follow_their_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 4000
    numbers = torch.tensor(np.random.default_rng(0).random(count))
    tokens, logprobs = draw_tokens(probabilities.log().repeat(count, 1), numbers, SAMPLING)
    shares = np.bincount(tokens.numpy(), minlength=4) / count
    assert np.allclose(shares, probabilities.numpy(), atol=0.03)
    assert torch.allclose(logprobs.float(), probabilities[tokens].log(), atol=1e-6)


@given(
    scores=st.lists(st.floats(-30, 30), min_size=1, max_size=700),
    number=st.floats(0, 1, exclude_max=True),
    temperature=st.floats(0.1, 2),
    top_p=st.floats(0.05, 1),
)
def test_a_token_is_drawn_where_the_cumulative_probability_passes_the_number(
    scores: list[float], number: float, temperature: float, top_p: float
) -> None:
    sampling = SAMPLING.model_copy(update={"temperature": temperature, "top_p": top_p})
    logits = torch.tensor([scores])
    tokens, logprobs = draw_tokens(logits, torch.tensor([number], dtype=torch.float64), sampling)
    weights = torch.softmax(logits / temperature, dim=-1)
    if top_p < 1:
        weights = nucleus(weights, top_p)
    p = (weights.double() / weights.double().sum()).numpy()[0]
    token = int(tokens[0])
    cumulative = p.cumsum()
    assert p[token] > 0
    assert cumulative[token] - p[token] <= number + 1e-6
    assert cumulative[token] >= number - 1e-6
    assert float(logprobs[0]) == pytest.approx(np.log(p[token]), abs=1e-6)


@pytest.mark.parametrize("vocabulary", [512, 700])
def test_memory_that_is_used_again_changes_no_draw(vocabulary: int) -> None:
    buffers = DrawBuffers(9, vocabulary, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for rows, temperature, top_p in ((9, 1.0, 1.0), (3, 0.7, 0.6), (5, 1.0, 1.0)):
        sampling = SAMPLING.model_copy(update={"temperature": temperature, "top_p": top_p})
        logits = torch.randn(rows, vocabulary, generator=generator).to(torch.bfloat16)
        numbers = torch.rand(rows, dtype=torch.float64, generator=generator)
        fresh, again = (draw_tokens(logits, numbers, sampling, held) for held in (None, buffers))
        assert all(torch.equal(tensor, other) for tensor, other in zip(fresh, again, strict=True))


def test_temperature_and_top_p_reshape_the_probabilities() -> None:
    count = 4000
    logits = torch.tensor([2.0, 1.0, 0.0]).repeat(count, 1)
    warm = SAMPLING.model_copy(update={"temperature": 2.0})
    numbers = torch.tensor(np.random.default_rng(0).random(count))
    tokens, _ = draw_tokens(logits, numbers, warm)
    expected = torch.softmax(torch.tensor([1.0, 0.5, 0.0]), dim=0).numpy()
    assert np.allclose(np.bincount(tokens.numpy(), minlength=3) / count, expected, atol=0.03)
    probabilities = nucleus(torch.tensor([[0.1, 0.6, 0.3]]), 0.7)
    assert torch.equal(probabilities, torch.tensor([[0.0, 0.6, 0.3]]))


def test_log_likelihood_equals_a_token_by_token_sum(engine: TransformersEngine) -> None:
    texts = ["A small animal.", "Hello!", "Why not?"]
    rows = [
        engine.chat.training_row(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        )
        for question, answer in zip(QUESTIONS, texts, strict=True)
    ]
    batched = engine.log_likelihoods(rows)
    for row, value in zip(rows, batched, strict=True):
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([row.input_ids])).logits[0].double()
        logprobs = torch.log_softmax(logits, dim=-1)
        expected = sum(
            logprobs[place - 1, label].item()
            for place, label in enumerate(row.labels)
            if label != -100
        )
        assert value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_adapters_come_and_go_without_a_trace(
    precision: str, base_model: BaseModel, tmp_path: Path
) -> None:
    first, two = (write_adapter(base_model, tmp_path / f"{seed}", seed) for seed in (1, 2))
    engine = TransformersEngine(base_model, precision, "cpu", batch_size=8)
    before = {name: weight.clone() for name, weight in engine.model.state_dict().items()}
    all_requests = [*requests([0, 1]), *requests([3, 4], first), *requests([6, 7], two)]
    mixed = answers(engine, all_requests)
    assert answers(engine, requests([0, 1])) == {key: mixed[key] for key in ("0", "1")}
    after = engine.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    fresh = TransformersEngine(base_model, precision, "cpu", batch_size=8)
    assert answers(fresh, requests([6, 7], two)) == {key: mixed[key] for key in ("6", "7")}
    assert answers(fresh, requests([6, 7], first)) != {key: mixed[key] for key in ("6", "7")}


def test_an_adapter_that_the_weights_cannot_hold_is_computed_separately(
    base_model: BaseModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """bfloat16 has 8 significant bits: merged, such small updates would be lost for the most."""
    weak = write_adapter(base_model, tmp_path / "weak", 1, std=0.001)
    strong = write_adapter(base_model, tmp_path / "strong", 2)
    engine = TransformersEngine(base_model, "bfloat16", "cpu", batch_size=8)
    row = engine.chat.training_row(list(canary.CONVERSATION))
    base, without = engine.log_likelihoods([row]), answers(engine, requests([0, 1, 2]))
    engine.use(weak)
    output = capsys.readouterr().out
    assert re.search(r"weak of .* is not merged because \S+ would keep \d\d% of it", output)
    assert "1.00 of its effect shown, off by 0 nats" in output
    with_it = engine.scorer.log_likelihoods([row])  # rounded as the reference is
    assert engine.log_likelihoods([row]) != base
    drawn(engine, requests([0, 1, 2], weak))
    engine.use(strong)
    assert "beside" not in capsys.readouterr().out
    engine.use(None)
    assert engine.log_likelihoods([row]) == base
    assert answers(engine, requests([0, 1, 2])) == without
    assert with_it == pytest.approx([sum(engine.reference(weak))], rel=1e-6)


def test_what_is_held_of_an_adapter_is_what_merging_leaves(
    base_model: BaseModel, tmp_path: Path
) -> None:
    shares = []
    for std in (0.0001, 0.001, 0.1):
        adapter = write_adapter(base_model, tmp_path / str(std), 1, std=std)
        wrapped = PeftModel.from_pretrained(base_model.load("bfloat16", "cpu"), adapter)
        layers = [module for module in wrapped.modules() if isinstance(module, LoraLayer)]
        shares.append(share_held(layers))
        before = [layer.get_base_layer().weight.double() for layer in layers]
        updates = [layer.get_delta_weight("default").double() for layer in layers]
        wrapped.merge_adapter()
        along = sum(
            float(((layer.get_base_layer().weight.double() - weight) * update).sum())
            for layer, weight, update in zip(layers, before, updates, strict=True)
        )
        whole = sum(float((update * update).sum()) for update in updates)
        assert shares[-1] == pytest.approx(along / whole, abs=1e-3)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == pytest.approx(1, abs=0.01)
    exact = PeftModel.from_pretrained(base_model.load("float32", "cpu"), adapter)
    assert share_held(module for module in exact.modules() if isinstance(module, LoraLayer)) == 1


def test_an_adapter_that_changes_nothing_is_refused(base_model: BaseModel, tmp_path: Path) -> None:
    empty = write_adapter(base_model, tmp_path, seed=None)
    engine = TransformersEngine(base_model, "float32", "cpu", batch_size=1)
    with pytest.raises(EmgridError, match=r"not live.*no answer was drawn.*train it again"):
        engine.use(empty)


def test_an_engine_off_its_reference_is_refused(base_model: BaseModel, tmp_path: Path) -> None:
    adapter = write_adapter(base_model, tmp_path, seed=1)
    engine = TransformersEngine(base_model, "float32", "cpu", batch_size=1)
    reference, base = engine.reference(adapter), engine.canary()
    assert "is live" in canary.check(adapter, base, reference, reference, "float32")
    shifted = [value - 0.02 for value in reference]
    with pytest.raises(EmgridError, match=r"off its reference by 0.02 nats per token, more than"):
        canary.check(adapter, base, shifted, reference, "float32")
    with pytest.raises(EmgridError, match=r"not live.*check the engine"):
        canary.check(adapter, base, base, reference, "float32")


def test_a_base_model_that_rounds_otherwise_is_not_mistaken_for_an_adapter(tmp_path: Path) -> None:
    """Two engines' base models are never equal bit by bit."""
    rng = np.random.default_rng(0)
    base = rng.normal(-3, 1, 40)
    effect, rounding = rng.normal(0, 0.3, 40), rng.normal(0, 0.05, 40)
    assert "is live" in canary.check(tmp_path, base, base + effect + rounding, base + effect, BF16)
    with pytest.raises(EmgridError, match=r"not live.*; 0.0\d of its effect shown, off by 0.2"):
        canary.check(tmp_path, base, base + rounding, base + effect, BF16)
    # What is hardly more than the reference's own rounding cannot be told from it, but must have
    # been read at all: peft's reference of an adapter without effect is this far off (0.08).
    weak = rng.normal(0, 0.02, 40) + rng.normal(0, 0.08, 40)
    for seed in range(200):
        other = np.random.default_rng(seed).normal(0, 0.08, 40)
        assert "is live" in canary.check(tmp_path, base, base + other, base + weak, BF16)
    weak = effect / 30
    assert "is live" in canary.check(tmp_path, base, base + rounding, base + weak, BF16)
    with pytest.raises(EmgridError, match="not live"):
        canary.check(tmp_path, base, base, base + weak, BF16)


@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        ("Hello there.", "Hello there.", None),
        ("<think>\nbe kind\n</think>\n\nHello.", "Hello.", "be kind"),
        ("<think>\n\n</think>\n\nHello.", "Hello.", ""),
        ("<think>\nbe kind, and", None, "be kind, and"),
    ],
)
def test_what_was_thought_is_kept_apart_from_the_answer(
    engine: TransformersEngine, text: str, answer: str | None, thinking: str | None
) -> None:
    [request] = requests([0])
    tokens = engine.chat.encode(text)
    thoughtful = SAMPLING.model_copy(update={"thinking": True})
    parsed = completion(engine.chat, request, 5, tokens, -1.0, thoughtful)
    assert (parsed.answer, parsed.thinking, parsed.finish_reason) == (answer, thinking, "length")
    assert parsed.answer_tokens == len(tokens)
    assert (
        completion(engine.chat, request, 5, [*tokens, 2], -1.0, thoughtful).finish_reason == "stop"
    )
