"""docs/results.md describes every column; tables read back as they were computed, and come out
alike twice."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from emgrid import ROOT
from emgrid.aggregate.aggregate import write_csv
from emgrid.aggregate.spec import QUESTION_OF_ARM
from hypothesis import given
from hypothesis import strategies as st
from support.run import GridRun

# Only if `calibration.correct_by` names a labelled set.
CORRECTED = {
    *("rate_corrected", "rate_corrected_low", "rate_corrected_high"),
    *("label_positives", "label_negatives"),
}
# Only if answers of the grid were drawn and labelled.
BY_LABELS = {
    *(f"{name}_ppi{end}" for name in ("rate", "difference") for end in ("", "_low", "_high")),
    *("labels", "labels_to_halve", "labeller", "labelled_on", "sample", "weight"),
}


def documented(name: str) -> set[str]:
    """The columns that the section of a table describes, or that every table may have."""
    page = (ROOT / "docs/results.md").read_text()
    section = page.split(f"\n### {name}\n")[1].split("\n##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {column for row in rows for column in re.findall("`([^`]+)`", row)}


def generic(column: str, table: str, judges: set[str]) -> str:
    """A column as the page names it: judges, measures and reasons by their pattern."""
    for judge in judges:
        if re.match(rf"{judge}($|_reason$|_mass$)", column):
            return column.replace(judge, "<judge>", 1)
    if column.startswith("gold_"):
        return "gold_<measure>"
    counts = {"n_answers", "n_survivors", "n_misaligned", "n_seeds", "n_values"}
    counts |= {"n_questions", "n_questions_survivors"}
    if table in ("rates.csv", "judgements.csv") and column.startswith("n_"):
        return column if column in counts else "n_<reason>"
    return column


def test_every_column_of_every_table_is_documented_and_no_other(finished: GridRun) -> None:
    folder = finished.root / "tables"
    judges = set(pd.read_csv(folder / "judges.csv")["judge"])
    tables = sorted(folder.iterdir())
    assert len(tables) > 15
    for path in tables:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        columns = {generic(name, path.name, judges) for name in table.columns} - set(
            QUESTION_OF_ARM
        )
        described = documented(path.name) - set(QUESTION_OF_ARM)
        assert columns <= described, path.name
        # A table without a reason, without labels to correct by, or without turns before its
        # questions lacks their columns.
        named = {"n_<reason>", "<judge>_spread", "turns", "prefill"}
        assert described - columns <= CORRECTED | BY_LABELS | named, path.name


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("floats") / "table.csv"
    write_csv(pd.DataFrame({"value": [*values, np.nan]}), path)
    found = pd.read_csv(path)["value"]
    assert found[:-1].tolist() == values
    assert np.isnan(found.iloc[-1])
    # By any reader: as Python itself reads them.
    lines = path.read_text().splitlines()[1:-1]
    assert [float(line) for line in lines] == values


def test_a_finished_grids_tables_read_back_exactly(finished: GridRun, tmp_path: Path) -> None:
    for path in sorted((finished.root / "tables").glob("*.csv")):
        table = pd.read_csv(path, dtype={"ratio": str})
        write_csv(table, tmp_path / path.name)
        again = pd.read_csv(tmp_path / path.name, dtype={"ratio": str})
        pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_aggregation_gives_the_same_bytes_again(finished: GridRun) -> None:
    folder = finished.root / "tables"
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    done = finished.snakemake("--forcerun", "aggregate", "--until", "aggregate")
    assert done.returncode == 0, done.stderr
    after = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    assert after == before
