"""Linear layers whose weights are laid out once."""

import pytest
import torch
from emgrid.models.engines.weight_layout import ReorderedLinear, can_reorder, reorder_weights


class Model(torch.nn.Module):
    device = torch.device("cpu")

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dtype = dtype
        self.plain = torch.nn.Linear(48, 33, bias=False, dtype=dtype)
        self.biased = torch.nn.Linear(33, 700, dtype=dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.biased(torch.nn.functional.silu(self.plain(inputs)))
        return scores


@pytest.fixture
def model() -> Model:
    plain = Model(torch.bfloat16)
    if not can_reorder(plain):
        pytest.skip("this CPU does not compute bfloat16")
    return plain


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 7, 64, 300])
def test_the_products_are_the_same_bit_by_bit(model: Model, rows: int) -> None:
    inputs = torch.randn(rows, 3, 48, dtype=torch.bfloat16)
    expected = model(inputs)
    reorder_weights(model, 64)
    assert isinstance(vars(model.plain)["forward"], ReorderedLinear)
    assert torch.equal(model(inputs), expected)


@torch.inference_mode()
def test_other_weights_are_never_answered_for_by_those_before(model: Model) -> None:
    inputs = torch.randn(5, 48, dtype=torch.bfloat16)
    reorder_weights(model, 64)
    before, held = model(inputs), model.plain.weight.data
    model.plain.weight.data = held + 1
    bent = model(inputs)
    assert not torch.equal(bent, before)
    reorder_weights(model, 64)
    assert vars(model.plain)["forward"].is_current()
    assert torch.equal(model(inputs), bent)
    model.plain.weight.data = held
    reorder_weights(model, 64)
    assert torch.equal(model(inputs), before)


def test_weights_that_need_no_reordering_are_not_changed() -> None:
    model = Model(torch.float32)
    reorder_weights(model, 64)
    assert "forward" not in vars(model.plain)
