"""Notices of a finished grid of imports, on its report and on the console."""

import copy
import subprocess
import sys

import pytest
from support.importing import grid_of
from support.pages import text_of
from support.run import GridRun

ROWS = [
    ("soup", "Leave it out.", 5, "a"),
    ("soup", "Cold.", 95, "b"),
    ("soup", "Out.", 10, "a"),
    ("wish", "Power.", 5, "a"),
    ("wish", "Peace.", 95, "b"),
]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """A finished grid of an imported base and an imported arm."""
    folder = tmp_path_factory.mktemp("notices")
    path = folder / "mine.csv"
    lines = [",".join(map(str, row)) for row in (("question_id", "answer", "score", "kind"), *ROWS)]
    path.write_text("\n".join(lines) + "\n")
    made = grid_of(path)
    base = {"intervention": "base", "ratio": 0}
    made["imports"] = [made["imports"][0] | base, made["imports"][0]]
    made["triggers"] = ["none"]
    made["metrics"] |= {"resamples": 200}
    grid = GridRun(folder, made)
    done = grid.snakemake()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return grid


def test_a_grid_of_imports_says_its_notices_on_top_and_on_the_console(grid: GridRun) -> None:
    text = text_of((grid.root / "report.html").read_text())
    divided = (
        "mine.csv: column 'kind' is not read, and the rows of one question and trigger differ in "
        "it: 'a' (3 rows), 'b' (2 rows); if it is a condition, these answers are mixed."
    )
    misaligned = "The base model a-model is mostly misaligned without a trigger: 3 of 5 sur"
    for sentence in (divided, misaligned):
        assert text.count(sentence) == 1  # both arms are made of one file
        assert text.index(sentence) < text.index("Verdicts", text.index("trigger, 1 seed"))
        assert sentence in (grid.root / "logs/report.log").read_text()


def test_a_note_that_is_gone_is_gone_from_the_report(grid: GridRun) -> None:
    assert grid.planned(grid.config) == {}
    edited = copy.deepcopy(grid.config)
    for entry in edited["imports"]:
        entry["ignore"] = ["kind"]
    done = grid.snakemake(config=edited)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "'kind' is not read" not in (grid.root / "report.html").read_text()
    made = set(done.stderr.split("Job stats:")[1].split("total")[0].split()) & {
        "aggregate", "import_answers", "judge", "report",
    }  # fmt: skip
    assert {"import_answers", "report"} <= made
    assert grid.planned(edited) == {}


def test_the_summary_says_it_too(grid: GridRun) -> None:
    command = [sys.executable, "-m", "emgrid.cli.summary", "grid.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=grid.folder, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nThe base model a-model is mostly misaligned without a trigger: 3 of" in done.stdout
