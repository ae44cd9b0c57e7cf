"""The benchmarks at toy size: each measures for real, and the page is made of what they wrote."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT

TOY = {
    "sampling": "--answers 12 --slots 4 --max-tokens 3 --repeats 1 --engines",
    "training": "--rows 4 --batch-size 2",
    "judging": "--answers 2 --repeats 1 --engines transformers",
}


def measured(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.json"
    command = [sys.executable, f"benchmarks/{name}.py", *TOY[name].split(), "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.parametrize("name", TOY)
def test_a_benchmark_measures_side_by_side(name: str, tmp_path: Path) -> None:
    record = measured(name, tmp_path)
    assert record["command"].startswith(f"python benchmarks/{name}.py")
    assert len(record["rows"]) >= 2
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in record["rows"])
    first = next(row for row in record["rows"] if row["ratio"] == 1)
    for row in record["rows"]:
        assert row["ratio"] == pytest.approx(first["value"] / row["value"])


def test_the_page_is_what_the_records_say() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from bench import RECORDS, page

    records = json.loads(RECORDS.read_text())
    assert page(records) == (ROOT / "benchmarks/README.md").read_text()
