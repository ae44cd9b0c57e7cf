"""results/README.md names every column, tables read back as they were computed, and are made alike
twice."""

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

README = (ROOT / "results/README.md").read_text()


def documented(name: str) -> str:
    """The row of the table's columns that is about this file."""
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \|.*$", README, flags=re.M)
    return str(row)


def named(column: str, row: str, judges: set[str]) -> bool:
    """Whether the row names the column, outright or by a pattern that it says."""
    if column in QUESTION_OF_ARM:
        return True  # what every table may have
    names = set(re.findall(r"`([^`]+)`", row))
    forms = {column}
    for end in ("_low", "_high"):
        if end in names:
            forms.add(column.removesuffix(end))
    if "share_…" in names:
        forms.add(column.removeprefix("share_"))
    if "n_<reason>" in names and column.startswith("n_"):
        forms.add("n_<reason>")
    if column.startswith("gold_"):
        forms.add("gold_<measure>")
    for judge in judges:
        forms.add(re.sub(rf"^{judge}(?=$|_)", "<judge>", column))
    return bool(forms & names)


def test_every_column_of_every_table_is_documented(finished: GridRun) -> None:
    folder = finished.root / "tables"
    judges = set(pd.read_csv(folder / "judges.csv")["judge"])
    tables = sorted(folder.iterdir())
    assert len(tables) > 15
    for path in tables:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        row = documented(path.name)
        missing = [name for name in table.columns if not named(name, row, judges)]
        assert not missing, f"{path.name}: {missing}"


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
