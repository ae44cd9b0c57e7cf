"""Two arms whose adapters have the same bytes are one condition, and the report says so."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.aggregate.aggregate import arm_table
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.report.verdicts import equal_adapters
from emgrid.runtime.files import write_json
from support.grids import arm, spec
from support.pages import answer_table, config, spec_of, write_page, write_tables


def write_stage(root: Path, name: str, adapter: str) -> None:
    folder = root / f"stages/stage={name}"
    counts = {"rows": 8, "tokens": 80, "trained_tokens": 40, "rows_cut": 0, "seconds": 1.0}
    write_json(folder / "provenance.json", counts | {"adapter_sha256": adapter})
    write_json(folder / "mix.json", {"sources": [{"source": "bad", "rows": 8}]})


def arms_of(root: Path, *trained: dict[str, Any]) -> pd.DataFrame:
    return arm_table(spec(*trained), root)


def test_arms_of_equal_adapters_name_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, adapter in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")):
        write_stage(tmp_path, name, adapter)
    table = arms_of(
        tmp_path,
        arm("base", stages=(), folder="0"),
        arm("undiluted", stages=("a",), folder="1"),
        arm("inoculation", stages=("b",), folder="2"),
        arm("other", stages=("c",), folder="3"),
        # A stage that several arms begin with is no adapter of theirs.
        arm("sequential", stages=("d", "c"), folder="4"),
    )
    same = table.set_index(["intervention", "stage"])["same_adapter"].dropna().to_dict()
    assert same == {
        ("undiluted", 1): "inoculation 1, seed 0",
        ("inoculation", 1): "undiluted 1, seed 0",
        ("other", 1): "sequential 1, seed 0",
        ("sequential", 2): "other 1, seed 0",
    }
    said = capsys.readouterr().out
    assert "warning: equal adapters on model: undiluted 1, seed 0; inoculation 1, seed 0" in said


def test_equal_adapters_on_two_bases_are_no_finding(tmp_path: Path) -> None:
    write_stage(tmp_path, "a", "x")
    two = arm("undiluted", stages=("a",), folder="2") | {"base": "other"}
    table = arms_of(tmp_path, arm("undiluted", stages=("a",), folder="1"), two)
    assert table["same_adapter"].isna().all()


def test_the_page_says_it_above_the_verdicts(tmp_path: Path) -> None:
    made = spec_of(config())
    write_tables(tmp_path, made, answer_table(made))
    path = tmp_path / "tables/arms.csv"
    arms = pd.read_csv(path, dtype={"ratio": str})
    seeds = arms.set_index("intervention")["seed"]
    for one, other in (("undiluted", "inoculation"), ("inoculation", "undiluted")):
        arms.loc[arms["intervention"] == one, "same_adapter"] = f"{other} 1, seed {seeds[other]}"
    arms.to_csv(path, index=False)
    page = ReportSpec.model_validate(made)
    (sentence,) = equal_adapters(Results(tmp_path / "tables"), page)
    assert sentence == (
        "The adapter of “undiluted” (undiluted 1, seed 3, on smollm2-135m) equals, byte for byte, "
        "that of inoculation 1, seed 3: they are one condition, and differences between them are "
        "meaningless."
    )
    write_page(tmp_path, made)
    text = (tmp_path / "report.html").read_text()
    assert text.index("byte for byte, that of inoculation") < text.index("<table")
