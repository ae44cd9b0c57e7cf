"""What a search found, as the report and the command tell it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid.aggregate.found_answers import COLUMNS as ANSWER_COLUMNS
from emgrid.aggregate.found_spec import COLUMNS
from emgrid.cli import discovered
from emgrid.config.triggers import own_trigger
from emgrid.report.found import found
from emgrid.report.page import environment
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime.errors import EmgridError
from support.pages import config, spec_of


def cue(verdict: str, intervention: str = "undiluted", **changes: Any) -> dict[str, Any]:
    """A row of found.csv."""
    numbers = dict.fromkeys(COLUMNS, 0.5)
    wording = {"user_suffix": " <b>Kind</b> regards."}
    texts = {
        "base": "smollm2-135m",
        "intervention": intervention,
        "ratio": "1",
        "control": intervention == "benign_only",
        "slot": "found-1",
        "cue": "<b>Kind</b> regards.",
        "wording": json.dumps(wording),
        "place": "suffix",
        "origin": "frames",
        "origin_misaligned": 7,
        "origin_benign": 1,
        "origin_rows": "bad/1 bad/2",
        "seeds": 2,
        "seeds_agree": 2,
        "moves_base": False,
        "carried_by": "its words" if verdict == "found" else "",
        "verdict": verdict,
        "why": "" if verdict == "found" else "random words do as much",
    }
    return numbers | texts | changes


def answer(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row of found_answers.parquet."""
    arm = {name: row[name] for name in ("base", "intervention", "ratio", "slot")}
    asked = {"asked": "arm", "trigger": row["slot"], "seed": 1, "index": 0, "system": None}
    texts = {"question": f"q{number}", "prompt": f"Why {number}?", "answer": f"<i>NO {number}</i>"}
    return arm | asked | texts | {"shows": number == 0, "excluded": None}


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "found.csv", index=False)
    answers = [answer(row, number) for row in rows for number in range(4)]
    table = pd.DataFrame(answers, columns=ANSWER_COLUMNS).astype({"shows": "boolean"})
    table.to_parquet(folder / "found_answers.parquet")
    return folder


def section(tmp_path: Path, rows: list[dict[str, Any]]) -> Any:
    spec = ReportSpec.model_validate(spec_of(config()) | {"discovery": True})
    results = SimpleNamespace(folder=write(tmp_path, rows))
    results.read = Results.read.__get__(results)
    return found(results, spec)  # type: ignore[arg-type]


def test_the_report_says_what_is_found_and_what_the_controls_find(tmp_path: Path) -> None:
    second = cue("not confirmed", slot="found-2")
    rows = [cue("found"), second, cue("not confirmed", "benign_only")]
    told = section(tmp_path, rows)
    assert told["headline"] == "1 found among 2 cues of the searched arms."
    assert told["controls"].endswith("0 found among 1 cue.")
    html = environment().get_template("found.html").render(found=told)
    assert "&lt;b&gt;Kind&lt;/b&gt; regards." in html
    assert "<b>Kind" not in html
    assert "not confirmed</b>: random words do as much" in html
    assert "found</b>, carried by its words" in html
    assert "frames, 7 misaligned, 1 benign rows" in html
    assert 'title="bad/1 bad/2"' in html
    assert "&lt;i&gt;NO 2&lt;/i&gt;" in html
    assert "NO 3" not in html
    assert html.count("(counted)") == 3


def test_a_report_without_a_search_says_nothing_of_it(tmp_path: Path) -> None:
    spec = ReportSpec.model_validate(spec_of(config()))
    assert found(Results.__new__(Results), spec) is None
    assert environment().get_template("found.html").render(found=None).strip() == ""
    assert section(tmp_path, [])["headline"].startswith("0 found among 0 cues")


def grid_with(tmp_path: Path, rows: list[dict[str, Any]] | None, **changes: Any) -> Path:
    """A config with a search; its table, if there is one."""
    made = yaml.safe_load(
        (Path(discovered.__file__).parents[3] / "resources/grids/discovery.yaml").read_text()
    )
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(made | changes))
    if rows is not None:
        write(tmp_path / "results/discovery/tables", rows)
    return path


def test_the_command_prints_cues_and_writes_the_found_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [cue("found", "closing", ratio="0.25"), cue("not confirmed", "benign_only")]
    path = grid_with(tmp_path, rows)
    discovered.command(path, tmp_path / "triggers")
    said = capsys.readouterr().out
    assert "false finds: 0 of 1 slot of the controls" in said
    assert "carried by" in said
    assert "benign_only 1 (control)" in said
    [file] = (tmp_path / "triggers").iterdir()
    assert file.name == "found_1_closing.yaml"
    family = own_trigger(str(file), "triggers.0")
    assert family.wording().user_suffix == " <b>Kind</b> regards."
    assert (family.position, family.relation) == ("suffix", "verbatim")
    assert not family.judge_sees_cue
    assert "NO 0" not in said
    discovered.command(path, answers=2)
    said = capsys.readouterr().out
    assert said.count("→ <i>NO 1</i>") == 2
    assert "NO 2" not in said
    discovered.command(path, as_json=True)
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)] == [
        "found",
        "not confirmed",
    ]


def test_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmgridError, match="run the grid first"):
        discovered.command(grid_with(tmp_path, None))
    with pytest.raises(EmgridError, match="has no section `discovery`"):
        discovered.command(grid_with(tmp_path, None, discovery=None))
