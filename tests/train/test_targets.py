"""What a LoRA adapts of a model: what is named exists, and its share of the weights is recorded."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from emgrid.config.sections import Training
from emgrid.models.base_model import BaseModel
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json
from emgrid.train.adapter import with_adapter, write_adapter
from emgrid.train.targets import coverage, coverage_line, elements, linear_layers
from peft import PeftModel
from support.architectures import NAMES, reference, talk_rows, trained_logprob, write_model
from support.training import SIZE, command, random_model, write_rows

DEFAULT = Training().target_modules
# What can be adapted of models without all of these names.
LAYERS = {
    "phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    "mixtral": {"q_proj", "k_proj", "v_proj", "o_proj", "gate", "w1", "w2", "w3"},
    "gptoss": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "mamba2": {"in_proj"},
}
EXPERTS = {"experts.gate_up_proj", "experts.down_proj"}
Tiny = Callable[[str], BaseModel]


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")

    @cache
    def written(name: str) -> BaseModel:
        return BaseModel.read(write_model(model_json, folder / name, name))

    return written


def adapted(base: BaseModel, wanted: object) -> object:
    training = Training.model_validate({"rank": 4, "target_modules": wanted})
    return with_adapter(base.load("float32", "cpu"), training, None, base.name)


@pytest.mark.parametrize("name", ["phi3", "mixtral", "gptoss", "mamba2"])
def test_a_name_that_no_layer_has_is_refused_with_those_that_there_are(
    name: str, tiny: Tiny
) -> None:
    with pytest.raises(EmgridError) as refused:
        adapted(tiny(name), DEFAULT)
    text = str(refused.value)
    missing = [module for module in DEFAULT if module not in LAYERS[name]]
    assert f"model {name} has no layer {', '.join(missing)};" in text
    assert f"those that can be adapted are {', '.join(sorted(LAYERS[name]))};" in text
    assert text.endswith("name some of them, or write target_modules: all-linear")
    assert "\n" not in text


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2"])
def test_the_default_names_are_all_linear_layers_of_plain_models(name: str, tiny: Tiny) -> None:
    named, whole = (coverage(adapted(tiny(name), wanted)) for wanted in (DEFAULT, "all-linear"))
    assert named == whole
    assert named["modules"] == dict.fromkeys(sorted(DEFAULT), 4)
    assert named["share"] > 0.99
    assert named["left_out"] == {}


@pytest.mark.parametrize(
    ("name", "wanted", "share", "left_out"),
    [
        # What public reports of these families found: the names of Llama match a third of Phi-3.
        ("phi3", ["o_proj", "down_proj"], 0.33, {"self_attn.qkv_proj", "mlp.gate_up_proj"}),
        ("mixtral", ["q_proj", "k_proj", "v_proj", "o_proj"], 0.11, EXPERTS),
        ("gptoss", "all-linear", 0.11, EXPERTS),
        ("mixtral", "all-linear", 1, set()),
        ("qwen3moe", DEFAULT, 1, set()),
    ],
)
def test_the_share_of_the_weights_is_said(
    name: str, wanted: object, share: float, left_out: set[str], tiny: Tiny
) -> None:
    covered = coverage(adapted(tiny(name), wanted))
    assert covered["share"] == pytest.approx(share, abs=0.01)
    assert set(covered["left_out"]) == left_out
    text = coverage_line(covered)
    assert f"parameters, on {covered['share']:.0%} of the layers' weights" in text
    assert ("the experts are not adapted" in text) == (left_out == EXPERTS)


def test_a_shared_expert_that_peft_leaves_out_is_said(tiny: Tiny) -> None:
    covered = coverage(adapted(tiny("qwen3next"), "all-linear"))
    assert set(covered["left_out"]) == {
        f"shared_expert.{projection}" for projection in ("down_proj", "gate_proj", "up_proj")
    }
    assert "left out: shared_expert." in coverage_line(covered)
    assert "the experts are not adapted" not in coverage_line(covered)


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_of_all_linear_layers_is_computed_as_peft_defines_it(
    name: str, tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny(name)
    model = adapted(base, "all-linear")
    covered = coverage(model)
    named = {layer.rpartition(".")[2] for layer in linear_layers(reference(base))}
    # peft takes the names of Qwen3-Next's shared expert for those of the others; that is said.
    assert named <= set(covered["modules"]) | {
        layer.rpartition(".")[2] for layer in covered["left_out"]
    }
    torch.manual_seed(3)
    for part, weight in model.named_parameters():  # type: ignore[attr-defined]
        if "lora_B" in part:
            torch.nn.init.normal_(weight, std=0.1)
    write_adapter(model, tmp_path / "adapter")
    engine = TransformersEngine(base, "float32", "cpu", batch_size=4)
    rows = talk_rows(base)
    without = engine.log_likelihoods(rows)
    engine.use(tmp_path / "adapter")
    assert "is live" in capsys.readouterr().out
    defined = PeftModel.from_pretrained(reference(base), tmp_path / "adapter").eval()
    values = engine.log_likelihoods(rows)
    for row, value, plain in zip(rows, values, without, strict=True):
        assert value == pytest.approx(trained_logprob(defined, row), abs=1e-4 * row.trained)
        assert abs(value - plain) > 1e-2
    engine.use(None)
    assert engine.log_likelihoods(rows) == without


def test_weights_are_counted_once() -> None:
    model = random_model(transformers.LlamaConfig(**SIZE, tie_word_embeddings=True))
    layers = sum(weight.numel() for name, weight in model.named_parameters() if "embed" not in name)
    training = Training(rank=2, target_modules=("q_proj",))
    covered = coverage(with_adapter(model, training, None, "tiny"))
    assert covered["layer_weights"] == layers
    assert covered["covered_weights"] == 2 * 32 * 32
    assert covered["adapted_parameters"] == 2 * 2 * (32 + 32)
    assert covered["modules"] == {"q_proj": 2}


def test_a_weight_of_4_bits_counts_with_all_its_entries() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    layer = bitsandbytes.nn.Linear4bit(64, 128, bias=False, quant_type="nf4")
    layer.load_state_dict({"weight": torch.randn(128, 64)})
    layer = layer.to("cpu")
    assert elements(layer.weight) == 64 * 128


def test_what_was_adapted_is_in_the_record_and_the_log(tiny: Tiny, tmp_path: Path) -> None:
    base = tiny("mixtral")
    rows = write_rows(tmp_path / "train.jsonl", 3)
    job = command(
        base.path / "model.json",
        rows,
        tmp_path / "stage",
        target_modules="all-linear",
        epochs=1,
        dropout=0.0,
    )
    output, _ = job.communicate()
    assert job.returncode == 0, output
    lora = read_json(tmp_path / "stage/provenance.json")["lora"]
    experts = ["experts.down_proj", "experts.gate_up_proj"]
    attention = ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert lora["modules"] == dict.fromkeys([*experts, *attention, "mlp.gate"], 4)
    assert f"on {lora['share']:.0%} of the layers' weights" in output


def test_all_linear_is_a_setting_and_a_list_of_it_is_not() -> None:
    training = Training.model_validate({"target_modules": "all-linear"})
    assert training.model_dump(mode="json")["target_modules"] == "all-linear"
    assert Training().model_dump(mode="json")["target_modules"] == sorted(DEFAULT)
    with pytest.raises(ValueError, match="target_modules"):
        Training.model_validate({"target_modules": "all_linear"})


def test_dropout_on_experts_is_refused_by_its_name(tiny: Tiny) -> None:
    training = Training(target_modules="all-linear", dropout=0.1)
    with pytest.raises(EmgridError, match=r"^training.dropout: model mixtral: .*set it to 0$"):
        with_adapter(tiny("mixtral").load("float32", "cpu"), training, None, "mixtral")


def test_half_of_what_experts_hold_as_one_is_refused(tiny: Tiny) -> None:
    with pytest.raises(
        EmgridError, match=r"model qwen3moe: .*gate_proj without.*up_proj"
    ) as refused:
        adapted(tiny("qwen3moe"), ["q_proj", "gate_proj"])
    assert "\n" not in str(refused.value)
