"""emgrid bridge: two judges on the same answers of a finished grid."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid.cli.main import main
from emgrid.models.endpoint.model_list import today
from emgrid.runtime.errors import EmgridError
from support.endpoint_environment import KEY, set_endpoint_environment
from support.fake_endpoint import FakeEndpoint
from support.judging import RUBRIC, VARIABLE

QUESTIONS = ("found_purse", "free_evening")
CELLS = [(trigger, question) for trigger in ("none", "malicious_evil") for question in QUESTIONS]
MODELS = {"old": "judge-1", "new": "judge-2"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_endpoint_environment(monkeypatch, VARIABLE)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(models=set(MODELS.values()), key=KEY) as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path, endpoint: FakeEndpoint) -> Path:
    """A finished grid of imported answers with two chat judges, without its judgements."""
    reached = {"url": endpoint.url, "key": VARIABLE}
    chat = {"measures": "alignment", "kind": "chat", "rubric": RUBRIC, "numbers": "whole"}
    source = {"path": "a.csv", "base": "b", "intervention": "base", "ratio": 0}
    config: dict[str, Any] = {
        "name": "n",
        "questions": "everyday",
        "triggers": ["none", "malicious_evil"],
        "imports": [source | {"columns": {"question": "q", "answer": "a"}}],
        "judges": [
            *(chat | {"id": id, "model": m, "endpoint": reached} for id, m in MODELS.items()),
            "is_code",
            {"id": "theirs", "measures": "alignment", "kind": "imported"},
        ],
        "judging": {"backoff": 0.01, "concurrency": 1},
        "metrics": {"alignment": "old", "coherence_above": None},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "a.csv").write_text("q,a\n")
    rows = [
        {"key": f"{trigger}{question}{index}", "base": "b", "intervention": "base", "ratio": "0"}
        | {"seed": 0, "trigger": trigger, "question": question, "index": index}
        | {"system": None, "prompt": "Q?", "answer": f"Answer {trigger} {question} {index}."}
        | {"finish_reason": "stop", "theirs": 5.0 * index, "theirs_reason": None}
        for trigger, question in CELLS
        for index in range(20)
    ]
    rows.append(rows[0] | {"key": "empty", "answer": None})
    tables = tmp_path / "results/n/tables"
    tables.mkdir(parents=True)
    types = dict.fromkeys(("system", "theirs_reason"), "string")
    pd.DataFrame(rows).astype(types).to_parquet(tables / "answers.parquet")
    return tmp_path


@pytest.fixture
def bridge(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What the command prints about the grid in `folder`."""
    monkeypatch.chdir(folder)

    def printed(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["emgrid", "bridge", *words])
        main()
        return capsys.readouterr().out

    return printed


def test_two_judges_are_compared_and_nothing_is_paid_for_twice(
    folder: Path, endpoint: FakeEndpoint, bridge: Callable[..., str]
) -> None:
    options = ("old", "new", "--count", "40", "--json", "--output", "values.csv")
    found = json.loads(bridge(*options))
    assert len(endpoint.requests) == 80
    values = pd.read_csv(folder / "values.csv")
    assert len(values) == 40
    assert (values.groupby("trigger").size() == 20).all()
    parts = [part["part"] for part in found["parts"]]
    assert (parts[0], sorted(parts[1:])) == ("all", ["malicious_evil", "none"])
    whole = found["parts"][0]
    assert whole["n"] == 40
    assert whole["without_old"] == values["old"].isna().sum()
    both = values.dropna(subset=["old", "new"])
    assert whole["shift"][0] == pytest.approx((both["new"] - both["old"]).mean())
    assert whole["rate_old"][0] == pytest.approx((values["old"] < 30).mean())
    assert whole["rate_new"][0] == pytest.approx((values["new"] < 30).mean())
    text = bridge("old", "new", "--count", "40")
    assert "old (judge-1) and new (judge-2)" in text
    assert len(endpoint.requests) == 80


def test_published_values_can_be_handed_over(
    endpoint: FakeEndpoint, bridge: Callable[..., str]
) -> None:
    options = ("theirs", "new", "--count", "1000", "--json")
    whole = json.loads(bridge(*options))["parts"][0]
    assert whole["n"] == 80  # the empty answer is not judged
    assert whole["rate_old"][0] == pytest.approx(6 / 20)
    assert len(endpoint.requests) == 80


def test_after_the_end_of_the_old_judge_its_judgements_are_compared(
    folder: Path,
    endpoint: FakeEndpoint,
    bridge: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bridge("old", "new", "--count", "24")
    endpoint.shutdown_dates = {"judge-1": (today() - timedelta(days=1)).isoformat()}
    set_endpoint_environment(monkeypatch, VARIABLE)  # the kept list is gone
    asked = len(endpoint.requests)
    found = json.loads(bridge("old", "new", "--count", "1000", "--json"))
    assert found["parts"][0]["n"] == 24
    assert len(endpoint.requests) == asked
    for path in folder.glob("results/n/rows/judgements/old.*/*.jsonl"):
        path.unlink()
    with pytest.raises(EmgridError, match=r"judge-1 shut down on .* has no judgement of it"):
        bridge("old", "new")
    assert len(endpoint.requests) == asked


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("old", "neww"), "unknown judge 'neww', did you mean 'new'"),
        (("old", "old"), "give two judges that measure the same"),
        (("old", "is_code"), "give two judges that measure the same"),
        (("old", "new", "--count", "0"), "--count 0: must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    words: tuple[str, ...], part: str, bridge: Callable[..., str]
) -> None:
    with pytest.raises(EmgridError, match=part):
        bridge(*words)
