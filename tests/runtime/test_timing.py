"""What counts as a model's own work."""

import time
from collections.abc import Iterator

import pytest
from emgrid.runtime import timing
from emgrid.runtime.timing import computing, counted

STEP = 0.02


@pytest.fixture(autouse=True)
def nothing_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "spent", 0.0)


def test_work_within_work_counts_once() -> None:
    with computing():
        with computing():
            time.sleep(STEP)
        time.sleep(STEP)
    assert 2 * STEP <= timing.spent < 3 * STEP


def test_what_is_done_with_an_item_does_not_count() -> None:
    def made() -> Iterator[int]:
        for number in range(2):
            time.sleep(STEP)
            yield number

    for _ in counted(made()):
        time.sleep(5 * STEP)
    assert 2 * STEP <= timing.spent < 5 * STEP
