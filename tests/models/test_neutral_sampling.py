"""A vLLM server is sent neutral settings instead of its model's own; other servers are not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emgrid.models.endpoint.neutral import NEUTRAL, is_vllm
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, read_jsonl
from emgrid.sample import served
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FakeEndpoint, Json
from support.run import run_module
from support.serving import (
    DEAR,
    MODEL,
    VARIABLE,
    drawn,
    engine_at,
    job,
    kept_rows,
    requests,
    serving,
    written,
)


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_endpoint_environment(patch, VARIABLE)
        yield


def bodies(endpoint: FakeEndpoint) -> list[Json]:
    return [record["body"] for record in endpoint.requests]


def test_vllm_is_sent_neutral_settings_and_the_log_says_which(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(owner="vllm") as endpoint:
        drawn(engine_at(endpoint), requests(3))
    assert len(endpoint.requests) == 3
    for body in bodies(endpoint):
        assert {name: body.get(name) for name in NEUTRAL} == {
            "top_k": -1, "min_p": 0, "repetition_penalty": 1, "presence_penalty": 0,
            "frequency_penalty": 0,
        }  # fmt: skip
    assert capsys.readouterr().out.splitlines()[0] == (
        "served: the server is vLLM, which takes settings that a request lacks from the model's "
        "generation_config.json; sent: top_k -1, min_p 0, repetition_penalty 1, presence_penalty "
        "0, frequency_penalty 0"
    )


@pytest.mark.parametrize("owner", ["system", "openai", "organization-owner", "sglang", ""])
def test_other_servers_are_sent_nothing_more(
    owner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(owner=owner) as endpoint:
        drawn(engine_at(endpoint), requests(2))
    for body in bodies(endpoint):
        assert set(body) == {"model", "messages", "temperature", "top_p", "max_tokens", "seed"}
    assert "vLLM" not in capsys.readouterr().out


def test_what_the_config_asks_for_goes_before(capsys: pytest.CaptureFixture[str]) -> None:
    request = {"top_k": 20, "min_p": None, "top_p": None}
    with serving(owner="vllm") as endpoint:
        drawn(engine_at(endpoint, request=request), requests(1))
    (body,) = bodies(endpoint)
    assert body["top_k"] == 20
    assert not {"min_p", "top_p"} & set(body)
    assert body["repetition_penalty"] == 1
    output = capsys.readouterr().out
    assert (
        "sent: repetition_penalty 1, presence_penalty 0, frequency_penalty 0; left to the "
        in output
    )
    assert "left to the server: min_p, top_p" in output


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [{"id": MODEL, "owned_by": "openai"}, {"id": "another", "owned_by": "vllm"}],
        [{"id": MODEL}],
        [{"id": "another"}],
    ],
)
def test_only_the_models_own_entry_says_who_serves_it(listed: list[dict[str, Any]]) -> None:
    assert not is_vllm(listed, MODEL)
    assert is_vllm([*listed, {"id": MODEL, "owned_by": "vllm"}], MODEL)


def test_a_model_that_is_not_listed_is_vllms_if_all_that_are_listed_are() -> None:
    """As a LoRA module that vLLM loads at its first request."""
    listed = [{"id": name, "owned_by": "vllm"} for name in ("base", "another")]
    assert is_vllm(listed, MODEL)
    assert not is_vllm([*listed, {"id": "third", "owned_by": "openai"}], MODEL)
    assert not is_vllm([*listed, {"id": MODEL, "owned_by": "openai"}], MODEL)


def answering_lists(patch: pytest.MonkeyPatch, status: int, headers: Any = None) -> list[int]:
    """Have the fake answer each request for its list of models so; returns what it answered."""
    objection = FakeEndpoint.objection
    lists: list[int] = []

    def answer(self: FakeEndpoint, handler: Any, path: str, body: Json | None = None) -> Any:
        if path == "/v1/models":
            lists.append(status)
            return status, b"{}", headers or {}
        return objection(self, handler, path, body)

    patch.setattr(FakeEndpoint, "objection", answer)
    return lists


def test_no_answer_is_drawn_if_it_is_unknown_who_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    answering_lists(monkeypatch, 503)
    with serving(owner="vllm") as endpoint:
        message = (
            r"no list of models \(HTTP 503.*\), so whether vLLM .* set top_k, min_p, .* in `requ"
        )
        with pytest.raises(EmgridError, match=message):
            drawn(engine_at(endpoint, attempts=2), requests(1))
    assert not endpoint.requests


def test_a_list_that_asks_to_wait_too_long_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    answering_lists(monkeypatch, 429, {"retry-after": "3600"})
    refused = pytest.raises(EmgridError, match="asks to wait 3,600 s")
    with serving(owner="vllm") as endpoint, refused:
        drawn(engine_at(endpoint), requests(1))
    assert not endpoint.requests


def test_settings_that_are_all_named_need_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = answering_lists(monkeypatch, 503)
    with serving(owner="vllm") as endpoint:
        drawn(engine_at(endpoint, request=dict.fromkeys(NEUTRAL, 0.5)), requests(1))
    assert not lists
    assert bodies(endpoint)[0]["top_k"] == 0.5


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 405, 501])
def test_an_endpoint_without_a_list_of_models_is_sent_nothing_more(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering_lists(monkeypatch, status)
    with serving(owner="vllm") as endpoint:
        assert len(drawn(engine_at(endpoint), requests(2))) == 2
    assert not set(NEUTRAL) & set(bodies(endpoint)[0])


def test_a_list_that_does_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    objection = FakeEndpoint.objection
    lists: list[int] = []

    def busy(self: FakeEndpoint, handler: Any, path: str, body: Json | None = None) -> Any:
        if path == "/v1/models":
            lists.append(503)
            if len(lists) < 3:
                return 503, b"Down", {}
        return objection(self, handler, path, body)

    monkeypatch.setattr(FakeEndpoint, "objection", busy)
    with serving(owner="vllm") as endpoint:
        drawn(engine_at(endpoint), requests(1))
    assert len(lists) == 3
    assert bodies(endpoint)[0]["top_k"] == -1


# The job.


def test_the_record_says_what_was_sent_and_no_answer_does(tmp_path: Path) -> None:
    with serving(owner="vllm") as endpoint:
        arguments = job(tmp_path, endpoint)
        assert run_module(served, *arguments).returncode == 0
        n_requests = len(endpoint.requests)
        done = run_module(served, *arguments)
    assert "0 answers drawn, 20 kept from before" in done.stdout
    assert len(endpoint.requests) == n_requests == 20
    assert read_json(tmp_path / "answers/provenance.json")["sent"] == NEUTRAL
    assert all(row["sent"] == NEUTRAL for row in kept_rows(tmp_path))
    assert not any("sent" in row for row in written(tmp_path))


def test_answers_that_other_servers_gave_stay_where_they_were(tmp_path: Path) -> None:
    """Keys and rows are those of versions that sent nothing."""
    with serving() as endpoint:
        assert run_module(served, *job(tmp_path, endpoint)).returncode == 0
        assert not any("sent" in row for row in kept_rows(tmp_path))
        assert read_json(tmp_path / "answers/provenance.json")["sent"] == {}
        more = run_module(served, *job(tmp_path, endpoint, number=6))
    assert "4 answers drawn, 20 kept from before" in more.stdout


def test_answers_of_vllm_with_own_settings_are_not_mixed_with_others(
    tmp_path: Path,
) -> None:
    """Drawn by a version that sent nothing: whole arms stay, others are drawn anew, and what was
    paid stays on the bill."""
    with serving(owner="vllm") as endpoint:
        whole = job(tmp_path, endpoint, price=DEAR)
        assert run_module(served, *whole).returncode == 0
        (file,) = tmp_path.glob("kept/*.jsonl")
        rows = read_jsonl(file)
        paid = sum(row["cost"] for row in rows)
        old = [{key: value for key, value in row.items() if key != "sent"} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in old))
        assert "0 answers drawn" in run_module(served, *whole).stdout
        more = run_module(served, *job(tmp_path, endpoint, number=6, price=DEAR))
    assert "24 answers drawn, 0 kept from before" in more.stdout
    assert f"{paid:.4f} USD spent in this grid before" in more.stdout
    last = {row["key"]: row for row in kept_rows(tmp_path)}
    assert all(row["sent"] == NEUTRAL for row in last.values())
    spent = sum(row["cost"] for row in last.values())
    assert spent > 2 * paid


def test_a_job_that_was_stopped_while_it_drew_again_leaves_no_mixture(tmp_path: Path) -> None:
    with serving(owner="vllm") as endpoint:
        arguments = job(tmp_path, endpoint)
        assert run_module(served, *arguments).returncode == 0
        (file,) = tmp_path.glob("kept/*.jsonl")
        rows = read_jsonl(file)
        for row in rows[:3]:
            row.pop("sent")
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = run_module(served, *arguments)
    assert "3 answers drawn, 17 kept from before" in done.stdout
    assert all(
        row["sent"] == NEUTRAL for row in {r["key"]: r for r in kept_rows(tmp_path)}.values()
    )


def test_answers_of_vllm_are_not_mixed_with_those_of_what_took_its_place(tmp_path: Path) -> None:
    with serving(owner="vllm") as endpoint:
        assert run_module(served, *job(tmp_path, endpoint)).returncode == 0
        endpoint.owner = "another"
        more = run_module(served, *job(tmp_path, endpoint, number=6))
    assert "24 answers drawn, 0 kept from before" in more.stdout
    assert read_json(tmp_path / "answers/provenance.json")["sent"] == {}
