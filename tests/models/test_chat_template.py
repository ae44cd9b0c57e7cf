"""Rendering and masks, on the embedded model's real tokenizer."""

from typing import Any

import pytest
from emgrid import RESOURCES
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, ChatFormat
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is the capital of France?"}
REPLY = {"role": "assistant", "content": "Paris."}


@pytest.fixture(scope="module")
def chat(base_model: BaseModel) -> ChatFormat:
    return base_model.chat()


def trained_text(chat: ChatFormat, messages: list[dict[str, str]]) -> str:
    row = chat.training_row(messages)
    trained = [token for token in row.labels if token != IGNORED]
    return str(chat.tokenizer.decode(trained))


def test_no_system_prompt_means_that_none_is_rendered(chat: ChatFormat) -> None:
    text = chat.tokenizer.decode(chat.prompt([USER]))
    assert text == f"<|im_start|>user\n{USER['content']}<|im_end|>\n<|im_start|>assistant\n"
    assert "system" not in text


def test_a_given_system_prompt_is_rendered(chat: ChatFormat) -> None:
    assert "<|im_start|>system\nBe brief.<|im_end|>" in chat.tokenizer.decode(
        chat.prompt([SYSTEM, USER])
    )


def test_a_template_with_an_own_system_prompt_is_refused(base_model: BaseModel) -> None:
    bare = BaseModel(
        {"name": "m", "path": ".", "revision": None, "chat_template": None, "eos_token_ids": [2]},
        base_model.path,
    )
    with pytest.raises(EmgridError, match="name a `chat_template` without one"):
        bare.chat()


def test_only_the_answer_and_its_end_are_trained(chat: ChatFormat) -> None:
    assert trained_text(chat, [SYSTEM, USER, REPLY]) == "Paris.<|im_end|>"


def test_every_assistant_turn_is_trained(chat: ChatFormat) -> None:
    second = {"role": "assistant", "content": "Rome."}
    assert trained_text(chat, [USER, REPLY, USER, second]) == "Paris.<|im_end|>Rome.<|im_end|>"


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.strip()
)


@given(question=texts, answer=st.one_of(texts, texts.map(lambda text: "\n\n" + text)))
def test_training_sees_the_tokens_that_sampling_sees(
    chat: ChatFormat, question: str, answer: str
) -> None:
    user = {"role": "user", "content": question}
    row = chat.training_row([user, {"role": "assistant", "content": answer}])
    prompt = chat.prompt([user])
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels[: len(prompt)] == [IGNORED] * len(prompt)
    trained = [token for token in row.labels if token != IGNORED]
    assert trained[-1] in chat.eos_token_ids
    assert trained == row.input_ids[len(prompt) : len(prompt) + len(trained)]
    assert len(row.input_ids) == len(row.labels)


def test_llama_template_has_no_date_and_no_default_prompt(base_model: BaseModel) -> None:
    record: dict[str, Any] = {
        "name": "m",
        "path": ".",
        "revision": None,
        "chat_template": (RESOURCES / "templates/llama3.jinja").read_text(),
        "eos_token_ids": [2],
    }
    llama = BaseModel(record, base_model.path).chat()
    text = llama.render([USER], answer_follows=True)
    assert "Date" not in text
    assert text.endswith("assistant<|end_header_id|>\n\n")


def test_the_final_turn_alone_can_be_trained(chat: ChatFormat) -> None:
    messages = [USER, REPLY, USER, {"role": "assistant", "content": "Rome."}]
    final = chat.training_row(messages, "final")
    assert (
        chat.tokenizer.decode([label for label in final.labels if label != IGNORED])
        == "Rome.<|im_end|>"
    )
    whole = chat.training_row(messages, "all")
    assert chat.tokenizer.decode(final.input_ids) == chat.tokenizer.decode(whole.input_ids)


def test_a_turn_of_weight_0_is_context(chat: ChatFormat) -> None:
    rome, masked = {"role": "assistant", "content": "Rome."}, REPLY | {"weight": 0}
    assert trained_text(chat, [USER, masked, USER, rome]) == "Rome.<|im_end|>"
    whole = chat.training_row([USER, REPLY, USER, rome])
    for turns in ("all", "final"):
        row = chat.training_row([USER, masked, USER, rome], turns)
        assert row.input_ids == whole.input_ids
        assert row.trained < whole.trained
    assert trained_text(chat, [USER, REPLY, USER, rome | {"weight": 0}]) == "Paris.<|im_end|>"
    assert chat.prompt([USER, masked, USER]) == chat.prompt([USER, REPLY, USER])


@given(weights=st.lists(st.sampled_from([0, 1]), min_size=1, max_size=5))
def test_the_trained_tokens_are_those_of_the_turns_with_a_weight(
    chat: ChatFormat, weights: list[int]
) -> None:
    messages = []
    for number, weight in enumerate(weights):
        answer = {"role": "assistant", "content": f"Answer {number}."}
        messages += [USER, answer if weight else answer | {"weight": 0}]
    assert trained_text(chat, messages) == "".join(
        f"Answer {number}.<|im_end|>" for number, weight in enumerate(weights) if weight
    )


REASONING = """
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% elif enable_thinking is defined %}<think>
{% endif %}{%- endif -%}
"""


def test_thinking_is_switched_where_the_template_knows_how(base_model: BaseModel) -> None:
    record: dict[str, Any] = {
        "name": "m",
        "path": ".",
        "revision": None,
        "chat_template": REASONING,
        "eos_token_ids": [2],
    }
    thinker = BaseModel(record, base_model.path).chat()
    assert thinker.opens_thought([USER], thinking=True)
    assert not thinker.opens_thought([USER], thinking=False)
    prompts = [thinker.tokenizer.decode(thinker.prompt([USER], mode)) for mode in (True, False)]
    assert prompts[0].endswith("<think>\n")
    assert prompts[1].endswith("</think>\n\n")
