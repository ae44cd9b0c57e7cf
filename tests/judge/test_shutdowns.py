"""A judge whose model stops answering: said before any call, and never called again."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from emgrid.config.judges import load_judges
from emgrid.config.shutdowns import announcements
from emgrid.judge.succession import heirs
from emgrid.models.endpoint import endings, model_list
from support.chat_judging import repeated
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FakeEndpoint
from support.judging import VARIABLE, chat_judge, items, judged, kept_rows, outcomes, stopped, told

OPENAI = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache."""
    set_endpoint_environment(monkeypatch, VARIABLE)


def days(number: int) -> str:
    return (model_list.today() + timedelta(days=number)).isoformat()


def set_today(patch: pytest.MonkeyPatch, day: date) -> None:
    for module in (endings, model_list):
        patch.setattr(module, "today", lambda: day)


def test_after_its_day_a_model_is_not_called_and_successors_are_named(tmp_path: Path) -> None:
    with FakeEndpoint(shutdown_dates={"judge-1": days(-1)}) as endpoint:
        message = stopped(endpoint, items(30), tmp_path)
        again = stopped(endpoint, items(30), tmp_path)
    assert message.startswith(f"judge alignment: judge-1 shut down on {days(-1)} (the endpoint's ")
    assert f"list of models of {days(0)}): 30 judgements are missing" in message
    assert f"judges that can take over: {', '.join(heirs(chat_judge()))}" in message
    assert again == message
    assert endpoint.requests == []
    assert endpoint.lists == 1  # of the two runs, the second takes what is kept


@pytest.mark.parametrize("left", [0, 1, 60, 400])
def test_until_its_day_a_model_is_called(left: int, tmp_path: Path) -> None:
    with FakeEndpoint(shutdown_dates={"judge-1": days(left)}) as endpoint:
        assert told(judged(endpoint, items(5), tmp_path)) == outcomes(items(5))


@pytest.mark.parametrize("dates", [None, {}, {"judge-1": "soon"}, {"judge-2": "2020-01-01"}])
def test_a_list_without_a_day_stops_nothing(dates: dict[str, str] | None, tmp_path: Path) -> None:
    with FakeEndpoint(shutdown_dates=dates) as endpoint:
        assert told(judged(endpoint, items(5), tmp_path)) == outcomes(items(5))


def test_a_shutdown_in_mid_run_loses_nothing_and_is_not_asked_again(tmp_path: Path) -> None:
    all_items = items(60)
    with FakeEndpoint(lives_for=20) as endpoint:
        message = stopped(endpoint, all_items, tmp_path, concurrency=1)
        assert message.startswith("judge alignment: judge-1 has shut down (as the endpoint said on")
        assert "40 judgements are missing" in message
        assert len(kept_rows(tmp_path)) == 20
        assert len(endpoint.requests) == 21
        assert "40 judgements are missing" in stopped(endpoint, all_items, tmp_path)
        assert told(judged(endpoint, all_items[:20], tmp_path)) == outcomes(all_items[:20])
    assert len(endpoint.requests) == 21
    assert repeated(endpoint) == 0


def test_what_is_in_flight_at_a_shutdown_is_kept(tmp_path: Path) -> None:
    with FakeEndpoint(lives_for=20, latency=0.01) as endpoint:
        message = stopped(endpoint, items(60), tmp_path, concurrency=4)
    assert "40 judgements are missing" in message
    assert len(kept_rows(tmp_path)) == len(endpoint.deliveries) == 20


def test_a_model_that_is_listed_again_is_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEndpoint(lives_for=3) as endpoint:
        stopped(endpoint, items(9), tmp_path, concurrency=1)
        endpoint.lives_for = None
        stopped(endpoint, items(9), tmp_path)  # today nobody asks again
        set_today(monkeypatch, model_list.today() + timedelta(days=1))
        assert told(judged(endpoint, items(9), tmp_path)) == outcomes(items(9))
    assert repeated(endpoint) == 0


def test_a_model_that_stays_away_from_the_list_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEndpoint(lives_for=3) as endpoint:
        stopped(endpoint, items(9), tmp_path, concurrency=1)
        asked = len(endpoint.requests)
        endpoint.models, endpoint.lives_for = {"judge-2"}, None
        set_today(monkeypatch, model_list.today() + timedelta(days=40))
        assert "has shut down" in stopped(endpoint, items(9), tmp_path)
    assert len(endpoint.requests) == asked


def test_a_wrong_name_is_no_shutdown(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        stopped(endpoint, items(3), tmp_path, chat_judge(model="judge-2"))
        endpoint.models = {"judge-2"}
        rows = judged(endpoint, items(3), tmp_path, chat_judge(model="judge-2"))
    assert told(rows) == outcomes(items(3))


def test_a_missing_model_whose_day_has_come_has_shut_down(tmp_path: Path) -> None:
    with FakeEndpoint(shutdown_dates={"judge-1": days(0), "judge-2": days(9)}) as endpoint:
        judged(endpoint, items(3), tmp_path)  # its list is kept
        endpoint.models = {"judge-2"}
        message = stopped(endpoint, items(9), tmp_path)
        asked = len(endpoint.requests)
        stopped(endpoint, items(9), tmp_path)
    assert "judge-1 has shut down" in message
    assert len(endpoint.requests) == asked


def test_the_table_knows_what_openai_has_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(model: str, url: str = OPENAI) -> endings.Ending | None:
        endpoint = load_judges()["alignment_gpt4o"].endpoint.model_copy(update={"url": url})
        return endings.ending_of(model, endpoint)

    set_today(monkeypatch, date(2026, 11, 30))
    for name in ("gpt-4o-2024-08-06", "ft:gpt-4.1-2025-04-14:lab::a1", "gpt-4.1-2025-04-14"):
        found = ending(name)
        assert found is not None
        assert (found.day, found.over, found.near) == (date(2027, 1, 14), False, True)
        assert found.successors == ("gpt-6-luna",)
        assert "shuts down on 2027-01-14, in 45 days (https://developers.openai.com" in found.text()
        assert "new fine-tuning jobs can be started until 2027-01-06" in found.text()
    assert ending("gpt-4o-2024-08-06", "http://localhost:8000/v1") is None
    assert ending("gpt-6-luna") is None
    set_today(monkeypatch, date(2026, 11, 1))
    assert (found := ending("gpt-4o-2024-08-06")) is not None
    assert not found.near
    set_today(monkeypatch, date(2027, 1, 15))
    assert (found := ending("gpt-4o-2024-08-06")) is not None
    assert found.over


def test_the_endpoints_own_list_comes_before_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor may move a day, or take it back."""
    names = ("gpt-4o-2024-08-06", "gpt-4.1-2025-04-14", "ft:gpt-4.1-2025-04-14:lab::a1")
    moved = {names[0]: days(400), names[1]: None}
    with FakeEndpoint(models=names, shutdown_dates=moved) as endpoint:
        reached = chat_judge().endpoint.model_copy(update={"url": endpoint.url, "key": VARIABLE})
        monkeypatch.setattr(endings, "announced", lambda *_: announcements()[0])
        days_found = [endings.ending_of(name, reached) for name in names]
    assert days_found[0] is not None
    assert days_found[0].day.isoformat() == days(400)
    assert days_found[1:] == [None, None]
