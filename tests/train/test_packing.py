"""Packed rows train as rows alone would: no boundary leaks, no loss is lost, nothing is padded."""

import copy

import pytest
import torch
import transformers
from emgrid.models.chat_template import TokenizedRow
from emgrid.train.loss import trained_token_loss
from emgrid.train.packing import Steps, collate, keeps_boundaries
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, lists
from support.training import FAMILIES, SIZE, random_model, tokenized_rows
from trl.trainer.utils import add_fused_lm_head

MODELS = {name: random_model(config) for name, config in FAMILIES.items()}
ROWS = lists(tokenized_rows(), min_size=1, max_size=5)


def gradients(model: torch.nn.Module) -> torch.Tensor:
    flat = [value.grad.flatten() for value in model.parameters() if value.grad is not None]
    model.zero_grad()
    return torch.cat(flat)


def one_by_one(model: torch.nn.Module, rows: list[TokenizedRow]) -> tuple[float, torch.Tensor]:
    """Loss and gradient from the definition: scores of whole rows, a mean over trained tokens."""
    total = torch.zeros(())
    for row in rows:
        scores = model(torch.tensor([row.input_ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total = total + torch.nn.functional.cross_entropy(scores, labels, reduction="sum")
    loss = total / sum(row.trained for row in rows)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), gradients(model)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_packed_rows_apart(name: str) -> None:
    assert keeps_boundaries(MODELS[name])


def test_a_model_that_lets_rows_see_each_other_is_found_out() -> None:
    config = transformers.BloomConfig(vocab_size=128, hidden_size=32, n_layer=1, n_head=4)
    assert not keeps_boundaries(random_model(config))


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=8)
@given(rows=ROWS, tokens=integers(0, 40))
def test_packs_have_the_loss_and_gradient_of_rows_alone(
    name: str, rows: list[TokenizedRow], tokens: int
) -> None:
    model = MODELS[name]
    steps = Steps(rows, [list(range(len(rows)))], tokens or None)
    item = steps[0]
    losses = [trained_token_loss(model, pack, item["count"], fused=False) for pack in item["packs"]]
    for loss in losses:
        loss.backward()
    packed_gradients = gradients(model)
    loss, gradient = one_by_one(model, rows)
    assert sum(part.item() for part in losses) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(
        packed_gradients, gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item()
    )
    assert steps.padding_waste() == 0


@pytest.mark.parametrize("cap", [None, 5.0])
def test_the_fused_head_computes_the_same_loss_also_with_capped_scores(cap: float | None) -> None:
    config = transformers.Gemma2Config(**SIZE, final_logit_softcapping=cap, pad_token_id=0)
    model = random_model(config)
    fused = copy.deepcopy(model)
    add_fused_lm_head(fused)
    inputs = collate([TokenizedRow([5, 6, 7, 8], [-100, -100, 7, 8])] * 2, boundaries=True)
    unfused = trained_token_loss(model, inputs, 4, fused=False)
    other = trained_token_loss(fused, inputs, 4, fused=True)
    assert other.item() == pytest.approx(unfused.item(), rel=1e-5)
    unfused.backward()
    other.backward()
    torch.testing.assert_close(gradients(fused), gradients(model), rtol=1e-3, atol=1e-5)


@settings(max_examples=20)
@given(rows=ROWS, processes=integers(1, 4), packed=booleans())
def test_all_processes_together_compute_a_step_once(
    rows: list[TokenizedRow], processes: int, packed: bool
) -> None:
    step = list(range(len(rows)))
    own = [
        Steps(rows, [step], 40 if packed else None, rank, processes) for rank in range(processes)
    ]
    model = MODELS["llama"]
    with torch.no_grad():
        loss = sum(
            trained_token_loss(model, inputs, item["count"], fused=False).item()
            for item in (steps[0] for steps in own)
            for inputs in item["packs"]
        )
        alone = Steps(rows, [step], None)[0]
        whole = sum(
            trained_token_loss(model, inputs, alone["count"], fused=False).item()
            for inputs in alone["packs"]
        )
    assert loss == pytest.approx(whole, rel=1e-5)
    idle = sum(inputs["input_ids"].numel() for steps in own for inputs in steps[0]["packs"])
    tokens = sum(len(row.input_ids) for row in rows)
    assert own[0].padding_waste() == pytest.approx(1 - tokens / idle)
