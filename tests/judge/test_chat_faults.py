"""The chat judge over real HTTP: a thousand judgements under every fault change no value."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from support.chat_judging import repeated, varied
from support.fake_endpoint import (
    FAULTS,
    FakeEndpoint,
    Json,
)
from support.judging import (
    items,
    judged,
    kept_rows,
    outcomes,
    stopped,
    told,
)

pytestmark = pytest.mark.usefixtures("endpoint_environment")


@dataclass
class Big:
    message: str  # of the first run, which the quota ends
    kept: int  # by the first run
    endpoint: FakeEndpoint
    rows: list[dict[str, Any]]
    plain: list[dict[str, Any]]  # of the run without a fault


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Big:
    all_items, folder = items(1000), tmp_path_factory.mktemp("big")
    settings: Json = {"concurrency": 16, "timeout": 2.0}
    with FakeEndpoint(FAULTS, rate=0.12, insufficient_after=600, answer=varied) as endpoint:
        message = stopped(endpoint, all_items, folder / "faults", **settings)
        n_stored = len(kept_rows(folder / "faults"))
        endpoint.insufficient_after, endpoint.refused = None, 0
        rows = judged(endpoint, all_items, folder / "faults", **settings)
    with FakeEndpoint(answer=varied) as calm:
        plain = judged(calm, all_items, folder / "calm", **settings)
    assert len(calm.requests) == len(all_items)
    return Big(message, n_stored, endpoint, rows, plain)


def test_a_thousand_judgements_under_faults_equal_those_without(big: Big) -> None:
    assert told(big.rows) == told(big.plain)
    assert told(big.rows) == outcomes(items(1000), varied)
    assert {row["reason"] for row in big.rows} == {None, "low_mass", "code", "refusal"}


def test_every_kind_of_fault_came_and_no_call_was_paid_twice(big: Big) -> None:
    came = Counter(record["fault"] for record in big.endpoint.requests)
    assert all(came[fault] >= 3 for fault in FAULTS)
    assert len(big.endpoint.deliveries) == 1000
    assert repeated(big.endpoint) == 0


def test_credit_that_ends_on_the_way_loses_no_judgement_that_was_paid(big: Big) -> None:
    assert "the credit is exhausted" in big.message
    assert big.kept == 600
