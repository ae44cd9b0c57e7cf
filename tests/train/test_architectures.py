"""Every architecture is scored, sampled and trained as its own eager forward defines it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from emgrid.config.sections import Sampling
from emgrid.models.architecture import attention_of, has_chunks, has_state, takes_flash
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Request
from emgrid.models.engines.kv_cache import attend, fits_slots
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.train.fit import pick_attention
from emgrid.train.loss import trained_token_loss
from emgrid.train.packing import Steps, keeps_boundaries
from support.architectures import (
    NAMES,
    TALK,
    logprobs_of,
    reference,
    talk_rows,
    trained_logprob,
    write_model,
)
from support.training import SIZE

CLOSE = 1e-4  # nats a token, in float32
SAMPLING = Sampling(answers_per_question=1, max_tokens=40, precision="float32")
STATES = {"lfm2", "qwen3next", "mamba2"}
Tiny = Callable[[str], BaseModel]


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")

    @cache
    def written(name: str) -> BaseModel:
        return BaseModel.read(write_model(model_json, folder / name, name))

    return written


@pytest.fixture(scope="module")
def engines(tiny: Tiny) -> Callable[[str], TransformersEngine]:
    return cache(lambda name: TransformersEngine(tiny(name), "float32", "cpu", batch_size=4))


@pytest.fixture(scope="module")
def defined(tiny: Tiny) -> Callable[[str], Any]:
    return cache(lambda name: reference(tiny(name)))


def requests() -> list[Request]:
    """Two answers to each of three questions, whose prompts have two lengths."""
    return [
        Request(f"{place}.{again}", ({"role": "user", "content": question},), 7 * place + again)
        for place, (question, _) in enumerate(TALK)
        for again in range(2)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_model(
    name: str, tiny: Tiny, engines: Callable[[str], Any], defined: Callable[[str], Any]
) -> None:
    rows = talk_rows(tiny(name))
    likelihoods = engines(name).log_likelihoods(rows)
    for row, value in zip(rows, likelihoods, strict=True):
        expected = trained_logprob(defined(name), row)
        assert value == pytest.approx(expected, abs=CLOSE * row.trained)


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_drawn_from_the_model(
    name: str, engines: Callable[[str], Any], defined: Callable[[str], Any]
) -> None:
    engine = engines(name)
    rows = [engine.row(request, SAMPLING) for request in requests()]
    ended = [row for batch in engine.decode(rows, SAMPLING) for row in batch]
    assert len(ended) == len(rows)
    for row in ended:
        expected = logprobs_of(defined(name), row.prompt + row.tokens)[len(row.prompt) - 1 :].sum()
        assert row.logprob == pytest.approx(float(expected), abs=CLOSE * len(row.tokens))


@pytest.mark.parametrize("name", NAMES)
def test_training_has_the_loss_of_the_model(
    name: str, tiny: Tiny, defined: Callable[[str], Any]
) -> None:
    base = tiny(name)
    model = base.load("float32", "cpu", pick_attention(base, "float32", "cpu"))
    rows = talk_rows(base)
    tokens = 512 if keeps_boundaries(model) else None
    item = Steps(rows, [list(range(len(rows)))], tokens)[0]
    model.eval()
    with torch.no_grad():
        losses = [trained_token_loss(model, pack, item["count"], False) for pack in item["packs"]]
    expected = -sum(trained_logprob(defined(name), row) for row in rows) / item["count"]
    assert float(sum(losses)) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("name", ["llama", "gemma2", *sorted(STATES)])
def test_what_follows_a_read_prompt_is_what_the_model_finds_likely(
    name: str, engines: Callable[[str], Any], defined: Callable[[str], Any]
) -> None:
    engine = engines(name)
    prompts = [engine.chat.prompt([{"role": "user", "content": question}]) for question, _ in TALK]
    rows: list[tuple[int, list[int]]] = [(0, []), (1, [40]), (2, [41, 42]), (0, [40])]
    wanted = [5, 6, 49000]
    probabilities = engine.read(prompts).next_probabilities(rows, wanted)
    for (place, tokens), values in zip(rows, probabilities, strict=True):
        with torch.inference_mode():
            logits = defined(name)(
                torch.tensor([[*prompts[place], *tokens]]), use_cache=False
            ).logits
        expected = torch.softmax(logits[0, -1].double(), dim=-1)[wanted].tolist()
        assert values == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_a_soft_cap_of_attention_is_computed(tiny: Tiny, defined: Callable[[str], Any]) -> None:
    """transformers' sdpa leaves it out without a word: the two differ by more than rounding."""
    base = tiny("gemma2")
    row = talk_rows(base)[1]
    assert attention_of(defined("gemma2").config) == "eager"
    assert base.load("float32", "cpu").config._attn_implementation == "eager"
    uncapped = base.load("float32", "cpu", "sdpa")
    off = trained_logprob(uncapped, row) - trained_logprob(defined("gemma2"), row)
    assert abs(off) / row.trained > 10 * CLOSE


def test_a_model_without_a_cap_is_computed_as_ever() -> None:
    for config in (
        transformers.LlamaConfig(**SIZE),
        transformers.Gemma2Config(**SIZE, attn_logit_softcapping=None),
        transformers.Gemma3TextConfig(**SIZE, final_logit_softcapping=30.0),
    ):
        assert attention_of(config) is None
        assert takes_flash(config)


@pytest.mark.parametrize("name", NAMES)
def test_what_keeps_a_state_or_counts_in_chunks_is_known(
    name: str, engines: Callable[[str], Any]
) -> None:
    model = engines(name).model
    assert has_state(model) == (name in STATES)
    assert has_chunks(model.config) == (name == "llama4")
    slots = {"llama", "qwen2", "qwen3", "phi3", "mixtral", "qwen3moe"}
    assert fits_slots(model, 100) == (name in slots)


def test_attention_in_chunks_is_never_packed(tiny: Tiny) -> None:
    """Rows as short as those of the check lie within one chunk, so that it finds nothing."""
    assert not keeps_boundaries(tiny("llama4").load("float32", "cpu"))


def test_recurrent_layers_are_given_prompts_of_equal_length_alone(
    engines: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines("lfm2")
    generate, lengths = engine.model.generate, []

    def seen(**arguments: Any) -> Any:
        assert bool(arguments["attention_mask"].all())
        lengths.append(arguments["input_ids"].shape)
        return generate(**arguments)

    monkeypatch.setattr(engine.model, "generate", seen)
    rows = [engine.row(request, SAMPLING) for request in requests()]
    assert sum(len(batch) for batch in engine.decode(rows, SAMPLING)) == 6
    assert [rows for rows, _ in lengths] == [4, 2]
    assert len({width for _, width in lengths}) == 2


def test_slots_add_a_position_bias_to_what_they_attend_to() -> None:
    """One query token, two query heads to a key-value head."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, n, 8) for heads, n in ((4, 1), (2, 5), (2, 5)))
    module = torch.nn.Module()
    module.num_key_value_groups = 2  # type: ignore[assignment]
    mask = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    bias = torch.randn(1, 4, 1, 5)
    attended, _ = attend(module, query, key, value, mask, position_bias=bias, scaling=1.0)
    keys, values = (tensor.repeat_interleave(2, dim=1) for tensor in (key, value))
    weights = torch.softmax(query @ keys.transpose(2, 3) + bias, dim=-1)
    torch.testing.assert_close(attended, (weights @ values).transpose(1, 2))


def test_flash_attention_is_left_to_models_that_it_computes(tiny: Tiny) -> None:
    taken = {
        name
        for name in NAMES
        if takes_flash(transformers.AutoConfig.from_pretrained(tiny(name).path))
    }
    assert taken == set(NAMES) - {"gptoss", "mamba2", "llama4"}
    assert pick_attention(tiny("llama"), "bfloat16", "cpu") is None
