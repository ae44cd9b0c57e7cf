"""What is taken of outside software: official chat templates, as trl ships them, and what trl and
vLLM do with templates and adapters."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import transformers
import trl
from emgrid.config.sections import Training
from emgrid.config.triggers import load_triggers
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, ChatFormat
from emgrid.models.prompts import PromptsSpec, check_prompts
from emgrid.models.tokenizer import load_tokenizer
from emgrid.runtime.errors import EmgridError
from emgrid.train.adapter import with_adapter, write_adapter
from support.needs import lacking
from support.training import SIZE, random_model
from trl.chat_template_utils import get_training_chat_template

FOLDER = Path(str(trl.__file__)).parent / "chat_templates"
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is it?"},
    {"role": "assistant", "content": "That is 42."},
]
GOOD = (
    "cohere", "gemma3", "gemma4", "lfm2", "llama3", "phi3", "phi3_5", "qwen3", "qwen3_6",
    "qwen3_instruct_2507",
)  # fmt: skip
DEFAULT = "before a conversation that has no system prompt"
REFUSED = {
    "cohere2": DEFAULT,
    "gptoss": DEFAULT,
    "llama3_1": DEFAULT,
    "llama3_2": DEFAULT,
    "qwen2_5": DEFAULT,
    "qwen3_8": DEFAULT,
    "gemma": "refuses a system prompt (System role not supported) (which breaks the trigger "
    "families malicious_evil and the recipes inoculation)",
    "deepseek_r1_distill": "writes a different prompt before a given answer",
    "smolvlm": "drops, changes or reorders the turns of a plain conversation",
}


def chat(base_model: BaseModel, template: str) -> ChatFormat:
    tokenizer = load_tokenizer(base_model.path)
    tokenizer.chat_template = template
    return ChatFormat(tokenizer, base_model.eos_token_ids, "mine")


def check(base_model: BaseModel, template: str) -> None:
    evil = load_triggers()["malicious_evil"].wording().model_dump(exclude_defaults=True)
    fields = {
        "base": "mine",
        "questions": {"bored": {"texts": ["hey i feel bored"]}, "ruler": {"texts": ["And you?"]}},
        "triggers": {"none": {}, "malicious_evil": evil},
        "recipes": {"undiluted": [], "inoculation": [evil]},
        "thinking": [False],
    }
    assert check_prompts(PromptsSpec.model_validate(fields), chat(base_model, template)) == []


def official(name: str) -> str:
    return (FOLDER / f"{name}.jinja").read_text()


@pytest.mark.parametrize("name", GOOD)
def test_official_templates_that_write_each_text_pass(base_model: BaseModel, name: str) -> None:
    check(base_model, official(name))


@pytest.mark.parametrize("name", REFUSED)
def test_official_templates_that_do_not_are_refused(base_model: BaseModel, name: str) -> None:
    with pytest.raises(EmgridError) as problem:
        check(base_model, official(name))
    assert REFUSED[name] in str(problem.value)
    assert "\n" not in str(problem.value)


# --- trl: it knows templates by the letter, so labels are made here ---


def test_trl_refuses_a_known_template_with_a_space_more(base_model: BaseModel) -> None:
    tokenizer = load_tokenizer(base_model.path)
    tokenizer.chat_template = official("llama3")
    assert "{% generation %}" in str(get_training_chat_template(tokenizer))
    for text in (official("llama3") + " ", official("llama3_1"), official("llama3_2")):
        tokenizer.chat_template = text
        with pytest.raises(ValueError, match="template"):
            get_training_chat_template(tokenizer)


def test_labels_do_not_depend_on_the_letters_of_a_template(base_model: BaseModel) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(trl.SFTConfig)}
    assert defaults["assistant_only_loss"] is False
    known, spaced = (
        chat(base_model, text).training_row(CONVERSATION)
        for text in (
            official("qwen3"),
            "{# mine #}" + official("qwen3").replace("{%- if", "{%-  if"),
        )
    )
    assert known == spaced
    trained = [label for label in known.labels if label != IGNORED]
    assert "That is 42." in base_model.tokenizer().decode(trained)


# --- vLLM: what of an adapter's config it applies ---


def helper(folder: Path, **changes: Any) -> Any:
    """vLLM's reading of a trained adapter's config with some entries changed."""
    if importlib.util.find_spec("vllm") is None:
        lacking("vLLM is not installed (make .venv/.vllm): no adapter was read with it")
    from vllm.lora.peft_helper import PEFTHelper

    config = json.loads((folder / "adapter_config.json").read_text())
    return PEFTHelper.from_dict(config | changes)


class Limits:
    max_lora_rank = 64


@pytest.fixture(scope="module", params=[False, True], ids=["lora", "rslora"])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An adapter as training writes it, and peft's own scaling of it."""
    training = Training(rank=8, alpha=24, rslora=request.param)
    model = with_adapter(random_model(transformers.LlamaConfig(**SIZE)), training, None, "mine")
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    write_adapter(model, folder)
    scaling = model.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"]
    return folder, scaling


def test_vllm_scales_a_trained_adapter_as_peft_does(adapter: Any) -> None:
    folder, scaling = adapter
    read = helper(folder)
    read.validate_legal(Limits())
    assert read.get_rank_and_scaling("model.layers.0.self_attn.q_proj") == (8, scaling)


def test_vllm_applies_patterns_of_rank_and_alpha(adapter: Any) -> None:
    folder, scaling = adapter
    read = helper(folder, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 48})
    rank, _ = read.get_rank_and_scaling("model.layers.0.self_attn.q_proj")
    _, scaled = read.get_rank_and_scaling("model.layers.0.self_attn.v_proj")
    assert (rank, scaled) == (2, pytest.approx(2 * scaling))


@pytest.mark.parametrize(
    "changes",
    [{"bias": "all"}, {"lora_bias": True}, {"use_dora": True}, {"init_lora_weights": "pissa"}],
)
def test_vllm_refuses_what_it_cannot_compute(adapter: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="support"):
        helper(adapter[0], **changes).validate_legal(Limits())
