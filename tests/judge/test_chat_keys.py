"""Keys of endpoints come from the environment, and are written nowhere."""

import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from emgrid.judge import judge as judge_job
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import judge_items
from emgrid.runtime.errors import EmgridError
from support.chat_judging import (
    SECRETS,
    rejecting,
)
from support.endpoint_environment import KEY
from support.fake_endpoint import (
    FakeEndpoint,
    error,
)
from support.judging import (
    VARIABLE,
    answer_rows,
    chat_judge,
    items,
    job,
    judged,
    kept_rows,
    outcomes,
    stopped,
    told,
)
from support.run import run_module

pytestmark = pytest.mark.usefixtures("endpoint_environment")


def test_a_key_that_is_not_in_the_environment_is_missed_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEndpoint() as endpoint:
        for value in (None, ""):
            if value is None:
                monkeypatch.delenv(VARIABLE)
            else:
                monkeypatch.setenv(VARIABLE, value)
            message = stopped(endpoint, items(3), tmp_path)
            assert message.startswith(f"{VARIABLE} is not set: put the endpoint's key into the ")
    assert endpoint.requests == []


def test_an_endpoint_may_ask_for_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    with FakeEndpoint(key="none") as endpoint:
        assert told(judged(endpoint, items(3), tmp_path, key=None)) == outcomes(items(3))


def by_environment(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> list[dict[str, Any]]:
    """One judge's rows of three items; the judge names neither the endpoint nor the key."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return judge_items([chat_judge()], items(3), JudgeContext(folder, "arm"))["alignment"]


def test_endpoint_and_key_may_be_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEndpoint() as endpoint:
        rows = by_environment(tmp_path, monkeypatch, endpoint.url)
    assert told(rows) == outcomes(items(3))


def test_a_password_in_the_address_of_the_environment_is_repeated_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint() as endpoint:
        url = endpoint.url.replace("http://", f"http://me:{SECRETS[0]}@")
        message = ""
        try:
            by_environment(tmp_path, monkeypatch, url)
        except EmgridError as problem:
            message = str(problem)
    assert SECRETS[0] not in message + capsys.readouterr().out + everything(tmp_path)
    assert base64.b64encode(f"me:{SECRETS[0]}".encode()).decode() not in message


@pytest.mark.parametrize("key", [f"{KEY}\nAnother", "clé-0123"])
def test_a_key_that_cannot_be_one_is_missed_by_its_name_at_once(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with FakeEndpoint() as endpoint:
        message = stopped(endpoint, items(20), tmp_path)
    assert VARIABLE in message
    assert key not in message
    assert KEY not in message


@pytest.mark.parametrize("secret", SECRETS)
def test_a_wrong_key_that_the_endpoint_quotes_is_repeated_nowhere(
    secret: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE, secret)
    caplog.set_level(logging.DEBUG)
    with FakeEndpoint() as endpoint:
        with pytest.raises(EmgridError) as caught:
            judged(endpoint, items(30), tmp_path, concurrency=4)
        assert len(endpoint.requests) <= 4
    assert str(caught.value) == (
        f"{endpoint.url}/: the key is not accepted (Incorrect API key provided: [key].); check the "
        "variable"
    )
    assert caplog.text
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    shown += "".join(capsys.readouterr()) + everything(tmp_path)
    assert secret not in shown


def test_a_job_with_a_wrong_key_says_one_line_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SECRETS[0])
    rows = {"none": answer_rows(["One.", "Two."])}
    with FakeEndpoint() as endpoint:
        done = run_module(judge_job, *job(tmp_path, endpoint, [chat_judge()], rows))
    assert done.returncode == 1
    messages = [line for line in done.stderr.splitlines() if line.startswith("emgrid: ")]
    assert len(messages) == 1
    assert messages[0].startswith(f"emgrid: {endpoint.url}/: the key is not accepted (")
    assert "Traceback" not in done.stderr
    assert SECRETS[0] not in done.stdout + done.stderr + everything(tmp_path)
    assert not (tmp_path / "arm/judgements").exists()


def test_a_key_that_works_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = SECRETS[1]
    monkeypatch.setenv(VARIABLE, secret)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    faults = ["rate_limited", "server_error", "cut", "malformed", "no_logprobs"]
    with FakeEndpoint(faults, rate=0.5, key=secret) as endpoint:
        judged(endpoint, items(10), tmp_path / "kept")
        rows = {"none": answer_rows(["One.", "Two."])}
        done = run_module(judge_job, *job(tmp_path, endpoint, [chat_judge()], rows))
    assert done.returncode == 0, done.stderr
    assert len(kept_rows(tmp_path / "kept")) == 12
    assert secret not in caplog.text + done.stdout + done.stderr + everything(tmp_path)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_that_an_error_quotes_is_not_in_the_reason_of_a_judgement(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, secret)
    for response in (
        error(400, None, f"The key {secret} may not ask this."),
        (400, f"<p>Bearer {secret} may not ask this.</p>".encode(), {}),
        (500, f"Bearer {secret}: no".encode(), {}),
    ):
        with FakeEndpoint(answer=rejecting("Answer", response), key=secret) as endpoint:
            rows = judged(endpoint, items(3), tmp_path, attempts=2)
            message = stopped(endpoint, items(20), tmp_path, attempts=2)
        assert {row["reason"] for row in rows} == {"endpoint_error"}
        assert secret not in json.dumps(rows) + message


def everything(folder: Path) -> str:
    """The names and contents of all files below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(f"{path}\n{path.read_text()}" for path in files)
