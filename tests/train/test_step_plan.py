"""The plan of a training: every row once an epoch, nothing padded, the same for any processes."""

from collections import Counter

from emgrid.train.step_plan import count_steps, pack, plan_steps, share
from hypothesis import given
from hypothesis.strategies import integers, lists

NUMBERS = integers(1, 40)
LENGTHS = lists(integers(1, 60), min_size=1, max_size=30)


@given(rows=NUMBERS, batch_size=integers(1, 9), epochs=integers(1, 3), seed=integers(0, 99))
def test_every_epoch_trains_on_every_row_once(
    rows: int, batch_size: int, epochs: int, seed: int
) -> None:
    steps = plan_steps(rows, batch_size, epochs, seed)
    assert len(steps) == count_steps(rows, batch_size, epochs)
    each = len(steps) // epochs
    for epoch in range(epochs):
        own = steps[epoch * each : (epoch + 1) * each]
        assert Counter(row for step in own for row in step) == Counter(range(rows))
        assert [len(step) for step in own[:-1]] == [batch_size] * (each - 1)


def test_a_seed_and_an_epoch_decide_the_order() -> None:
    steps = plan_steps(20, 20, 2, seed=1)
    assert steps == plan_steps(20, 20, 2, seed=1)
    assert steps != plan_steps(20, 20, 2, seed=2)
    assert steps[0] != steps[1]


@given(lengths=LENGTHS, processes=integers(1, 5))
def test_processes_share_a_step_without_rest_and_evenly(lengths: list[int], processes: int) -> None:
    step = list(range(len(lengths)))
    shares = [share(step, lengths, process, processes) for process in range(processes)]
    assert sorted(row for share in shares for row in share) == step
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    tokens = [sum(lengths[row] for row in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths)


@given(lengths=LENGTHS, tokens=integers(0, 100))
def test_packs_hold_every_row_once_and_no_more_tokens_than_fit(
    lengths: list[int], tokens: int
) -> None:
    packs = pack(range(len(lengths)), lengths, tokens)
    assert sorted(row for pack in packs for row in pack) == list(range(len(lengths)))
    for members in packs:
        assert len(members) == 1 or sum(lengths[row] for row in members) <= tokens
    half_full = [pack for pack in packs if sum(lengths[row] for row in pack) <= tokens / 2]
    assert len(half_full) <= 1
