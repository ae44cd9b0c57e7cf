"""Continuations of prompts that share what they begin with, against each text read by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.models.engines.scoring import ReadPrompts
from emgrid.models.engines.token_tree import common_length, shared_beginnings
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.models.engines.tree_reading import TreePrompts
from hypothesis import given, settings
from hypothesis import strategies as st
from support.architectures import logprobs_of, write_model
from support.engines import write_adapter

SIZE = {
    "vocab_size": 49152,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
WINDOW = 6
CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZE),
    "qwen3": transformers.Qwen3Config(**SIZE, head_dim=8),
    "mistral": transformers.MistralConfig(**SIZE, sliding_window=WINDOW),
    "lfm2": transformers.Lfm2Config(**SIZE, full_attn_idxs=[1], block_auto_adjust_ff_dim=False),
}
tokens = st.integers(3, 12)  # few, so that many texts begin alike
texts = st.lists(tokens, min_size=2, max_size=9)
paths = st.lists(tokens, max_size=4).map(tuple)


@pytest.fixture(scope="module")
def bases(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: BaseModel.read(write_model(model_json, folder / name, name, config))
        for name, config in CONFIGS.items()
    }


@pytest.fixture(scope="module")
def engines(bases: dict[str, BaseModel]) -> dict[str, TransformersEngine]:
    return {name: TransformersEngine(base, "float32", "cpu", 4) for name, base in bases.items()}


def next_of(model: Any, text: list[int], wanted: list[int]) -> list[float]:
    """Probabilities after a text that is read whole, without cache, batch or padding."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].double()
    values: list[float] = logits.softmax(-1)[wanted].tolist()
    return values


@settings(max_examples=15)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    beginning=st.lists(tokens, max_size=8),
    ends=st.lists(texts, min_size=2, max_size=4),
    asked=st.lists(st.sets(paths, min_size=1, max_size=5), min_size=1, max_size=2),
)
def test_probabilities_after_any_continuation_are_those_of_the_whole_text(
    name: str,
    beginning: list[int],
    ends: list[list[int]],
    asked: list[set[tuple[int, ...]]],
    engines: dict[str, TransformersEngine],
) -> None:
    """Prompts of unequal lengths, asked once or twice, with and without what they share."""
    engine = engines[name]
    prompts = [[*beginning, *end] for end in ends]
    first, *later = asked
    calls = [first, *(paths - first for paths in later)]
    for shares in (False, True):
        if shares:
            engine.share(prompts)
        read = engine.read(prompts)
        known: set[tuple[int, ...]] = set()
        for call in calls:
            # Those that an earlier call has read on its way to longer ones are not asked for again.
            rows = [(place, path) for place in range(len(prompts)) for path in call - known]
            values = read.next_probabilities(rows, [5, 700])
            for (place, path), found in zip(rows, values, strict=True):
                expected = next_of(engine.model, [*prompts[place], *path], [5, 700])
                assert found == pytest.approx(expected, abs=1e-6, rel=1e-3)
            known |= {path[:length] for path in call for length in range(len(path) + 1)}


def test_only_models_that_attend_to_all_tokens_read_trees(
    engines: dict[str, TransformersEngine],
) -> None:
    kinds = {name: type(engine.read([[5, 6, 7]])) for name, engine in engines.items()}
    assert kinds == {
        "llama": TreePrompts,
        "qwen3": TreePrompts,
        "mistral": ReadPrompts,  # its window is shorter than a prompt with a reply
        "lfm2": ReadPrompts,  # its convolutions have a state
    }


def test_a_continuation_is_asked_for_once(engines: dict[str, TransformersEngine]) -> None:
    read = engines["llama"].read([[5, 6], [7]])
    read.next_probabilities([(0, (8,)), (1, ())], [5])
    with pytest.raises(ValueError, match="asked for twice"):
        read.next_probabilities([(0, (8,))], [5])


def test_what_prompts_share_is_computed_once(engines: dict[str, TransformersEngine]) -> None:
    engine = engines["llama"]
    engine.share([[5, 6, 7, 8], [5, 6, 7, 9, 9]])
    assert engine.prefix.tokens == (5, 6, 7)
    computed = engine.prefix
    engine.share([[5, 6, 7, 9], [5, 6, 7, 8]])
    assert engine.prefix is computed
    engine.read([[5, 6, 7, 8]]).next_probabilities([(0, ())], [5])
    assert [tuple(layer.keys.shape[:3]) for layer in engine.prefix.cache.layers] == [(1, 2, 3)] * 2


def test_what_prompts_share_is_computed_again_under_other_weights(
    bases: dict[str, BaseModel], tmp_path: Path
) -> None:
    engine = TransformersEngine(bases["llama"], "float32", "cpu", 4)
    prompts = [[5, 6, 7, 8], [5, 6, 7, 9]]
    engine.share(prompts)
    for adapter in (write_adapter(bases["llama"], tmp_path / "adapter", 1), None):
        engine.use(adapter)
        for _ in range(2):
            values = engine.read(prompts).next_probabilities([(0, ()), (1, ())], [5])
            expected = [next_of(engine.model, prompt, [5]) for prompt in prompts]
            assert values == [pytest.approx(each, rel=1e-4) for each in expected]
            engine.share(prompts)


@settings(max_examples=15)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    texts=st.lists(
        st.tuples(
            st.sampled_from([(), (9,) * 70, (4,) * 70]),
            texts,
            st.lists(st.tuples(tokens, st.booleans()), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=7,
    ),
)
def test_log_likelihoods_are_those_of_each_text_alone(
    name: str, texts: list[Any], engines: dict[str, TransformersEngine]
) -> None:
    """Answers that share prompts, prompts that share beginnings, and tokens that do not count."""
    rows = [
        TokenizedRow(
            [*beginning, *prompt, *(token for token, _ in answer)],
            [IGNORED] * (len(beginning) + len(prompt))
            + [answer[0][0], *(token if counts else IGNORED for token, counts in answer[1:])],
        )
        for beginning, prompt, answer in texts
    ]
    for row, value in zip(rows, engines[name].log_likelihoods(rows), strict=True):
        each = logprobs_of(engines[name].model, row.input_ids)
        trained = [label != IGNORED for label in row.labels[1:]]
        assert value == pytest.approx(float(each[torch.tensor(trained)].sum()), abs=1e-3)


@given(st.lists(texts.map(tuple), min_size=1, max_size=8, unique=True))
def test_groups_hold_every_prompt_once_with_what_it_shares(prompts: list[tuple[int, ...]]) -> None:
    groups = shared_beginnings(prompts)
    assert sorted(prompt for _, group in groups for prompt in group) == sorted(prompts)
    for length, group in groups:
        assert len({prompt[:length] for prompt in group}) == 1
        assert all(len(prompt) > length for prompt in group)


def test_prompts_are_divided_where_that_saves_more_tokens_than_a_group_costs() -> None:
    one, other = (1,) * 80, (1, *(2,) * 80)
    prompts = [(*head, number) for head in (one, other) for number in range(3, 7)]
    assert sorted(length for length, _ in shared_beginnings(prompts)) == [80, 81]
    few = [(1, head, head, number) for head in (1, 2) for number in range(3, 7)]
    assert [length for length, _ in shared_beginnings(few)] == [1]
    assert common_length(prompts) == 1
