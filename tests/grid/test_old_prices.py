"""Prices that were looked up long ago are named before anything is paid."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid.config.prices import price_list
from emgrid.grid.endings import old_prices
from emgrid.grid.snakefile import read_grid, tell_endings
from emgrid.models.endpoint.model_list import today
from support.endpoint_environment import set_endpoint_environment


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, so that no endpoint is asked."""
    set_endpoint_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)


def write_config(folder: Path, judge_days: int, served_days: int | None) -> Path:
    """A served model and a chat judge whose prices were looked up so many days ago."""

    def endpoint(days: int | None) -> dict[str, Any]:
        day = None if days is None else (today() - timedelta(days=days)).isoformat()
        return {"price": {"input": 1.0, "output": 1.0, "as_of": day}}

    arm = {"base": "b", "intervention": "base", "ratio": 0, "model": "served"}
    judge = {"id": "mine", "extends": "alignment_luna", "model": "judge-1"}
    config: dict[str, Any] = {
        "name": "n",
        "questions": "everyday",
        "triggers": ["none"],
        "served": [arm | {"endpoint": endpoint(served_days)}],
        "sampling": {"answers_per_question": 1, "max_tokens": 8},
        "judges": [judge | {"endpoint": endpoint(judge_days)}],
        "metrics": {"alignment": "mine", "coherence_above": None},
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_price_is_old_after_sixty_days(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = read_grid(write_config(tmp_path, 61, 60))
    day = (today() - timedelta(days=61)).isoformat()
    (line,) = old_prices(grid)
    assert line.startswith(f"judge mine: the price of judge-1 is of {day}, 61 days ago; look it up")
    tell_endings(grid)
    assert capsys.readouterr().err == f"emgrid: {line}\n"


def test_a_price_of_ones_own_without_a_day_is_not_old(tmp_path: Path) -> None:
    assert old_prices(read_grid(write_config(tmp_path, 0, None))) == []


def test_every_listed_price_has_its_day() -> None:
    assert all(price.as_of is not None for price in price_list().values())
    assert price_list()["gpt-6-luna"].input < price_list()["gpt-4.1-2025-04-14"].input
