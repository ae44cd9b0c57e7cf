"""Adapters that were trained elsewhere: computed as plain peft computes them, or refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.config.sections import Sampling
from emgrid.models import adapter_files
from emgrid.models.adapter_settings import settings_digest
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Request, canary
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.runtime.files import file_digest, read_json, write_json
from peft import PeftModel
from safetensors.torch import load_file, save_file
from support.adapters import (
    as_peft_computes,
    imported,
    plain_base,
    refusal,
    take,
    train_elsewhere,
)
from support.fake_hub import REVISION, hub
from support.tiny_models import edit_json
from support.training import write_tiny_model

GREEDY = Sampling(answers_per_question=1, max_tokens=12, temperature=0, precision="float32")
QUESTION = {"role": "user", "content": "What is it?"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> Path:
    """model.json of a tiny model whose output head is its own."""
    return write_tiny_model(model_json, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The same with biases, and with embeddings that are the output head, too."""
    folder = tmp_path_factory.mktemp("tied") / "model"
    shutil.copytree(tiny.parent, folder)
    edit_json(folder / "config.json", tie_word_embeddings=True, attention_bias=True)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    for layer in range(2):
        for name, size in (("q", 64), ("k", 32), ("v", 32), ("o", 64)):
            weights[f"model.layers.{layer}.self_attn.{name}_proj.bias"] = torch.linspace(0, 1, size)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder / "model.json"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    return train_elsewhere(tiny.parent, tmp_path_factory.mktemp("foreign") / "lora")


@pytest.fixture
def copied(foreign: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(foreign, tmp_path / "lora"))


def engine_of(model: Path) -> TransformersEngine:
    return TransformersEngine(BaseModel.read(model), "float32", "cpu", 4)


def test_an_imported_adapter_gives_the_answers_of_plain_peft(
    foreign: Path, tiny: Path, tmp_path: Path
) -> None:
    done = imported(foreign, tiny, tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    adapter = tmp_path / "mine/adapter"
    name = "adapter_model.safetensors"
    assert (adapter / name).read_bytes() == (foreign / name).read_bytes()
    assert not (adapter / name).samefile(foreign / name)
    engine = engine_of(tiny)
    [[ours]] = list(engine.complete([Request("0", (QUESTION,), 0, adapter)], GREEDY))
    prompt = engine.chat.prompt([QUESTION])
    wrapped = PeftModel.from_pretrained(plain_base(tiny.parent), foreign)
    theirs = wrapped.generate(
        input_ids=torch.tensor([prompt]), max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    text = engine.chat.tokenizer.decode(theirs[0, len(prompt) :], skip_special_tokens=True)
    assert ours.answer == text
    [[plain]] = list(engine.complete([Request("0", (QUESTION,), 0)], GREEDY))
    assert plain.answer != ours.answer


SETTINGS: dict[str, dict[str, Any]] = {
    "alpha_pattern": {"alpha_pattern": {"q_proj": 32}},
    "rank_pattern": {"rank_pattern": {"layers.1.self_attn.v_proj": 2}},
    "layers": {"layers_to_transform": [1]},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "parameters": {"target_parameters": ["mlp.gate_proj.weight"]},
    "lora_bias": {"target_modules": ["q_proj"], "lora_bias": True},
}


@pytest.fixture(scope="module")
def engines(tiny: Path, tied: Path) -> dict[Path, TransformersEngine]:
    return {path: engine_of(path) for path in (tiny, tied)}


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_taken_is_computed_as_peft_computes_it_and_leaves_the_base_as_it_was(
    setting: str, tiny: Path, tied: Path, engines: dict[Path, TransformersEngine], tmp_path: Path
) -> None:
    model = tied if setting in ("head", "embeddings", "lora_bias") else tiny
    foreign = train_elsewhere(model.parent, tmp_path / "lora", **SETTINGS[setting])
    adapter = take(foreign, model, tmp_path / "mine")
    engine = engines[model]
    before = engine.canary()
    tokens = canary.tokens(engine.chat).input_ids
    engine.use(adapter)
    with torch.inference_mode():
        ours = engine.model(input_ids=torch.tensor([tokens])).logits[0]
    assert torch.allclose(ours, as_peft_computes(model.parent, foreign, tokens), atol=2e-5)
    assert engine.canary() != before
    engine.use(None)
    assert engine.canary() == before


def test_an_edit_of_the_settings_makes_another_adapter_that_draws_from_the_same_seeds(
    copied: Path, tiny: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    one = take(copied, tiny, folders[0])
    edit_json(copied / "adapter_config.json", lora_alpha=16)
    other = take(copied, tiny, folders[1])
    assert adapter_files.weights_digest(one) == adapter_files.weights_digest(other)
    assert adapter_files.identity(one) != adapter_files.identity(other)
    for folder in folders:
        record = adapter_files.recorded_identity(folder / "adapter.json")
        assert record == adapter_files.identity(folder / "adapter")


def test_the_order_of_modules_and_what_describes_an_adapter_do_not_count(copied: Path) -> None:
    config = read_json(copied / "adapter_config.json")
    other = config | {"target_modules": config["target_modules"][::-1], "peft_version": "9"}
    assert settings_digest(config) == settings_digest(other | {"base_model_name_or_path": "x"})
    assert settings_digest(config) != settings_digest(config | {"use_rslora": True})


REFUSED = {
    "modules_to_save": ({"modules_to_save": ["lm_head"]}, "replaces whole modules"),
    "bias": ({"bias": "all"}, "trains the base model's own biases"),
    "tokens": ({"trainable_token_indices": [3]}, "trains single tokens' embeddings"),
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "changes the base model's weights"),
    "unknown": ({"new_trick": 3}, "sets new_trick=3, which is not known to be computed here"),
    "kind": ({"peft_type": "IA3"}, "only LoRA is computed here"),
    "task": ({"task_type": "SEQ_CLS"}, "only CAUSAL_LM is asked here"),
    "other base": (
        {"base_model_name_or_path": "owner/other"},
        "was trained on owner/other, and tiny is tiny; name that base model, or if the weights are "
        "the same, say so by `trained_on: owner/other`",
    ),
    "no base": ({"base_model_name_or_path": None}, "does not say its base model"),
    "rank": ({"r": 8}, "has shape 4×64, and by its settings the base model takes shape 8×64"),
    "more layers": (
        {"target_modules": ["q_proj", "k_proj", "v_proj", "down_proj"]},
        "has no such tensor, and by its settings the base model takes shape",
    ),
    "no layer": ({"target_modules": ["w_proj"]}, "does not fit tiny: Target modules"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_computed_otherwise_is_refused_with_its_reason(
    case: str, copied: Path, tiny: Path, tmp_path: Path
) -> None:
    changes, reason = REFUSED[case]
    edit_json(copied / "adapter_config.json", **changes)
    line = refusal(copied, tiny, tmp_path / "mine")
    assert line.startswith(f"adapter mine: {copied}: ")
    assert reason in line


def test_a_base_of_another_name_is_taken_if_the_config_vouches_for_it(
    copied: Path, tiny: Path, tmp_path: Path
) -> None:
    edit_json(copied / "adapter_config.json", base_model_name_or_path="owner/Copy")
    take(copied, tiny, tmp_path / "a", trained_on="owner/Copy")
    take(copied, tiny, tmp_path / "b", names=["tiny", "Owner/copy"])
    line = refusal(copied, tiny, tmp_path / "c", trained_on="owner/other")
    assert "was trained on owner/Copy, not on `trained_on` owner/other" in line
    edit_json(copied / "adapter_config.json", base_model_name_or_path="/else/where/tiny")
    take(copied, tiny, tmp_path / "d")


def test_what_vllm_would_not_apply_is_refused_for_vllm_alone(
    tiny: Path, tied: Path, tmp_path: Path
) -> None:
    for setting, reason in (
        ("dora", "has DoRA, which vLLM does not apply"),
        ("parameters", "has LoRA on parameters"),
        ("lora_bias", "has a bias in the LoRA"),
        ("embeddings", "has LoRA on the embeddings"),
    ):
        model = tied if setting in ("lora_bias", "embeddings") else tiny
        folder = train_elsewhere(model.parent, tmp_path / setting, 0, **SETTINGS[setting])
        line = refusal(folder, model, tmp_path / "mine", engines=["transformers", "vllm"])
        assert reason in line
        assert line.endswith("set sampling.engine: transformers for it")


def test_another_vocabulary_or_chat_template_is_refused(
    copied: Path, tiny: Path, tmp_path: Path
) -> None:
    template = read_json(tiny)["chat_template"]
    shutil.copy(tiny.parent / "tokenizer.json", copied)
    (copied / "chat_template.jinja").write_text(template + "{# the same #}")
    take(copied, tiny, tmp_path / "same")
    greeting = "{{- '<|im_start|>system\nYou are kind.<|im_end|>\n' -}}"
    (copied / "chat_template.jinja").write_text(greeting + template)
    line = refusal(copied, tiny, tmp_path / "mine")
    assert "renders a conversation of user otherwise than that of tiny" in line
    take(copied, tiny, tmp_path / "all", chat_template="base")
    tokenizer = read_json(copied / "tokenizer.json")
    added = tokenizer["added_tokens"][-1] | {"id": 49152, "content": "<|pad|>"}
    write_json(
        copied / "tokenizer.json", tokenizer | {"added_tokens": [*tokenizer["added_tokens"], added]}
    )
    line = refusal(copied, tiny, tmp_path / "mine", chat_template="base")
    assert "has another vocabulary than tiny (49153 and 49152 tokens; 1 differ" in line
    assert "'<|pad|>'" in line


def test_changed_embeddings_next_to_the_lora_are_refused(tied: Path, tmp_path: Path) -> None:
    """peft saves the base's own embeddings next to a LoRA on the head, and loads them, too."""
    folder = train_elsewhere(tied.parent, tmp_path / "lora", **SETTINGS["head"])
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    name = "base_model.model.lm_head.base_layer.weight"
    assert name in weights
    save_file(weights | {name: weights[name] + 1}, path, metadata={"format": "pt"})
    assert f"holds {name}, which is not that of tiny" in refusal(folder, tied, tmp_path / "mine")
    save_file(weights | {"base_model.model.extra.weight": torch.zeros(2)}, path)
    assert "which is no weight of a LoRA" in refusal(folder, tied, tmp_path / "mine")


def test_only_whole_safetensors_are_read(copied: Path, tiny: Path, tmp_path: Path) -> None:
    path = copied / "adapter_model.safetensors"
    elsewhere = tmp_path / "elsewhere.safetensors"
    path.rename(elsewhere)
    (copied / "adapter_model.bin").write_bytes(b"cos\nsystem\n")
    line = refusal(copied, tiny, tmp_path / "mine")
    assert "holds adapter_model.bin, but no adapter_model.safetensors, and only" in line
    path.symlink_to(elsewhere)
    assert "adapter_model.safetensors is a symbolic link" in refusal(
        copied, tiny, tmp_path / "mine"
    )
    path.unlink()
    path.write_bytes(elsewhere.read_bytes()[:20])
    assert "is no file in safetensors; copy" in refusal(copied, tiny, tmp_path / "mine")
    (copied / "adapter_config.json").write_text("{")
    assert "is no JSON object; copy the adapter" in refusal(copied, tiny, tmp_path / "mine")
    (copied / "adapter_config.json").unlink()
    assert "holds no adapter_config.json" in refusal(copied, tiny, tmp_path / "mine")


@pytest.fixture
def server(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub on this machine whose repository holds the adapter in a folder."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    files = {f"best/{path.name}": path.read_bytes() for path in foreign.iterdir()}
    with hub(files | {"best/optimizer.bin": b"0", "other.safetensors": b"0"}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield


@pytest.mark.usefixtures("server")
def test_an_adapter_of_the_hub_is_fetched_at_its_revision_and_checked(
    foreign: Path, tiny: Path, tmp_path: Path
) -> None:
    sha256 = file_digest(foreign / "adapter_model.safetensors")
    there = {"hub": "owner/model", "revision": REVISION, "subfolder": "best", "sha256": sha256}
    done = imported(None, tiny, tmp_path / "mine", **there)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "mine/adapter.json")["sha256"] == sha256
    record = read_json(tmp_path / "mine/provenance.json")
    assert record["origin"] == f"owner/model/best at {REVISION[:12]}"
    fetched = {path.name for path in (tmp_path / "cache").rglob("*.*") if path.is_file()}
    assert "adapter_config.json" in fetched
    assert not fetched & {"optimizer.bin", "other.safetensors", "README.md"}
    wrong = imported(None, tiny, tmp_path / "wrong", **there | {"sha256": "0" * 64})
    assert wrong.returncode == 1
    assert f"its SHA-256 is {sha256}, not {'0' * 64}" in wrong.stderr.splitlines()[-1]
    assert not list((tmp_path / "wrong").rglob("adapter_model.safetensors"))


def test_the_record_of_an_import_does_not_say_where_the_users_folder_is(
    foreign: Path, tiny: Path, tmp_path: Path
) -> None:
    take(foreign, tiny, tmp_path / "mine")
    text = (tmp_path / "mine/provenance.json").read_text()
    assert json.loads(text)["origin"] == "lora"
    assert str(foreign) not in text
