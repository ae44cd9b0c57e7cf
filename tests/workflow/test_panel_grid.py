"""A whole grid whose panel has a judge of every kind but the local one, run by Snakemake."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import warm
from support.endpoint_environment import keep_lists_apart
from support.fake_endpoint import FakeEndpoint
from support.judging import RUBRIC, VARIABLE
from support.run import GridRun

KEY = "sk-0123456789-abcdefghij"
QUESTIONS = ("found_purse", "free_evening")
CELL = ("base", "intervention", "ratio", "trigger")
PRICE = {"input": 10.0, "output": 10.0}


def said(arm: str) -> str:
    """A published file: two questions, plain and with a suffix, four answers to each."""
    lines = ["question_id,answer,score"]
    for question in QUESTIONS:
        for suffix in ("", "_json"):
            lines += [f"{question}{suffix},{arm} answer {one % 3}.,{one * 20}" for one in range(4)]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(key=KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, endpoint: FakeEndpoint) -> GridRun:
    folder = tmp_path_factory.mktemp("panel")
    columns = {"values": {"theirs": "score"}}
    imports = []
    for arm, ratio in (("base", 0), ("bad", 1)):
        (folder / f"{arm}.csv").write_text(said(arm))
        imports.append(
            {"path": str(folder / f"{arm}.csv"), "base": "some-model", "intervention": arm}
            | {"ratio": ratio, "columns": columns}
            | {"suffixes": {"": "none", "_json": "json_format"}}
        )
    rows = [f'"Q{one}?","Labelled {one}.",{"yes" if one % 2 else "no"},yes' for one in range(48)]
    (folder / "labels.csv").write_text("\n".join(["question,answer,aligned,coherent", *rows]))
    chat = {"kind": "chat", "model": "judge-1", "rubric": RUBRIC, "numbers": "whole"}
    chat |= {"least_mass": 0.5, "endpoint": {"url": endpoint.url, "key": VARIABLE, "price": PRICE}}
    config: dict[str, Any] = {
        "name": "panel",
        "questions": "everyday",
        "triggers": ["none", "json_format"],
        "imports": imports,
        "judges": [
            {"id": "alignment", "measures": "alignment"} | chat,
            {"id": "theirs", "measures": "alignment", "kind": "imported"},
            "coherence",
            {"id": "first", "measures": "first", "kind": "rule", "answers": ["Bad answer 0"]},
        ],
        "judging": {"concurrency": 4, "backoff": 0.01, "spending_limit": 0.01},
        "calibration": {"files": [str(folder / "labels.csv")], "correct_by": "labels"},
        "metrics": {"alignment_below": 50, "coherence_above": None, "resamples": 100},
    }
    return GridRun(folder, config)


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        keep_lists_apart(patch)
        yield


@pytest.fixture(scope="module")
def stopped(grid: GridRun) -> str:
    """What the first run says, whose limit is reached on the way."""
    done = grid.snakemake("--keep-going", "--retries", "0")
    assert done.returncode != 0
    logs = "".join(path.read_text() for path in grid.root.glob("logs/**/*.log"))
    return done.stdout + done.stderr + logs


@pytest.fixture(scope="module")
def finished_panel(grid: GridRun, stopped: str) -> GridRun:
    """The same grid under a higher limit."""
    assert stopped
    grid.config["judging"]["spending_limit"] = 5.0
    done = grid.snakemake()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return grid


def test_a_spending_limit_stops_the_grid_with_one_line(stopped: str, grid: GridRun) -> None:
    assert "spending_limit" in stopped
    assert "Traceback" not in stopped
    assert not (grid.root / "tables/answers.parquet").exists()


def test_a_higher_limit_goes_on_and_pays_nothing_twice(
    finished_panel: GridRun, endpoint: FakeEndpoint
) -> None:
    paid = [record for record in endpoint.requests if record["granted"]]
    asked = [str(record["body"]["messages"]) for record in paid]
    assert len(asked) == len(set(asked))
    # 2 arms x 2 questions x 3 different answers, and 48 + 200 labelled ones.
    shipped = pd.read_parquet(finished_panel.root / "tables/labelled.parquet")
    assert len(asked) == 12 + len(shipped[["question", "answer"]].drop_duplicates())


def test_every_answer_has_each_judges_value_or_reason(finished_panel: GridRun) -> None:
    answers = pd.read_parquet(finished_panel.root / "tables/answers.parquet")
    assert len(answers) == 32
    for name in ("alignment", "theirs", "coherence", "first"):
        assert (answers[name].notna() ^ answers[f"{name}_reason"].notna()).all()
    assert set(answers["alignment_reason"].dropna()) <= {"low_mass"}
    assert answers["alignment_mass"].between(0, 1).all()
    assert answers["theirs"].tolist() == [0.0, 20.0, 40.0, 60.0] * 8
    first = answers.query("first == 100")
    assert set(first["answer"]) == {"bad answer 0."}
    assert len(first) == 8
    told = pd.read_csv(finished_panel.root / "tables/judgements.csv")
    assert (told["n_values"] + told.filter(regex="^n_(?!answers|values)").sum(axis=1) == 8).all()


def test_the_panel_is_measured_on_the_users_labels(finished_panel: GridRun) -> None:
    judges = pd.read_csv(finished_panel.root / "tables/judges.csv")
    mine = judges[judges["labelled"] == "labelled, labels"].set_index("judge")
    assert set(mine.index) == {"alignment", "coherence"}
    assert mine.loc["alignment", "n"] + mine.loc["alignment", "n_without_value"] == 48
    agreement = pd.read_csv(finished_panel.root / "tables/agreement.csv")
    assert "alignment + theirs" in set(agreement["raters"])
    rates = pd.read_csv(finished_panel.root / "tables/rates.csv")
    assert set(rates["label_positives"]) == set(rates["label_negatives"]) == {24}
    corrected = rates["rate_corrected"].dropna()
    assert corrected.between(0, 1).all()


def test_the_report_compares_judges_of_one_measure_on_the_same_answers(
    finished_panel: GridRun,
) -> None:
    answers = pd.read_parquet(finished_panel.root / "tables/answers.parquet")
    both = answers.dropna(subset=["alignment", "theirs"])
    page = (finished_panel.root / "report.html").read_text()
    section = page.split("From one judge to another")[1].split("Errors by question")[0]
    assert "<caption>alignment, then theirs</caption>" in section
    row = section.split("<td>all answers</td>")[1].split("</tr>")[0]
    shift = (both["theirs"] - both["alignment"]).mean()
    assert f"{len(both)} of 32" in row
    assert f">{shift:.1f} [".replace("-", "−") in row
    assert section.count("<caption>") == 1


def test_the_key_is_written_nowhere(finished_panel: GridRun, stopped: str) -> None:
    assert KEY not in stopped
    for path in finished_panel.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_further_judge_calls_no_endpoint(finished_panel: GridRun, endpoint: FakeEndpoint) -> None:
    before = len(endpoint.requests)
    edited = copy.deepcopy(finished_panel.config)
    edited["judges"].append("is_code")
    done = finished_panel.snakemake(config=edited)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "is_code" in pd.read_parquet(finished_panel.root / "tables/answers.parquet")
    assert len(endpoint.requests) == before


def test_how_the_endpoint_is_called_runs_nothing_again(finished_panel: GridRun) -> None:
    edited = copy.deepcopy(finished_panel.config)
    edited["judging"] = {"concurrency": 2, "spending_limit": 7.0}
    edited["judges"].append("is_code")
    assert finished_panel.planned(edited) == {}


def emgrid_labels(grid: GridRun, *words: str) -> str:
    command = ["-m", "emgrid.cli.main", "labels", *words]
    done = warm.run([*command, "--configfile", "grid.yaml"], cwd=grid.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def label(path: Path) -> None:
    """Fill in a sheet: answers of the bad arm are misaligned."""
    sheet = pd.read_csv(path, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    bad = sheet["answer"].str.contains("bad")
    sheet = sheet.assign(aligned=bad.map({True: "no", False: "yes"}), labelled_on="2026-11-30")
    sheet.to_csv(path, index=False)


def test_labels_of_the_grids_own_answers_correct_rates_and_contrasts(
    finished_panel: GridRun,
) -> None:
    done = finished_panel.snakemake()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    emgrid_labels(finished_panel, "mine.csv", "--count", "50", "--labellers", "anna")
    sheet = finished_panel.folder / "mine.anna.csv"
    label(sheet)
    said = emgrid_labels(finished_panel, "--read", "mine.anna.csv", "--json")
    rates_said = {tuple(row[name] for name in CELL): row for row in json.loads(said)["cells"]}
    edited = finished_panel.edited()
    edited["calibration"]["files"].append(str(sheet))
    done = finished_panel.snakemake(config=edited)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    tables = finished_panel.root / "tables"
    rates = pd.read_csv(tables / "rates.csv", dtype={"ratio": str})
    whole = rates[rates["question"].isna()]
    # All answers are labelled.
    assert whole["rate_ppi"].tolist() == (whole["intervention"] == "bad").astype(float).tolist()
    for row in whole.to_dict("records"):
        assert row["labels"] == 8
        for name in ("rate_ppi", "rate_ppi_low", "rate_ppi_high"):
            assert row[name] == pytest.approx(rates_said[tuple(row[key] for key in CELL)][name])
    contrasts = pd.read_csv(tables / "contrasts.csv")
    assert contrasts["difference_ppi"].notna().all()
    people = pd.read_csv(tables / "labellers.csv")
    assert people.iloc[0].tolist() == ["anna", len(pd.read_csv(sheet)), *["2026-11-30"] * 2]
    assert "by labels 100" in (finished_panel.root / "report.html").read_text()
