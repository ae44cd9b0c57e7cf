"""emgrid.load gives the tables of a finished grid as they were computed."""

import copy
import subprocess
import sys
from pathlib import Path

import emgrid
import pandas as pd
import pytest
from emgrid.runtime.errors import EmgridError
from support.pages import answer_table, config, spec_of, write_tables


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    spec = spec_of(config())
    write_tables(folder, spec, answer_table(spec))
    return folder


def test_every_file_of_tables_is_a_frame_by_its_name(root: Path) -> None:
    tables = emgrid.load(root)
    files = {path.name for path in (root / "tables").iterdir()}
    assert {"answers.parquet", "rates.csv", "arms.csv"} <= files
    assert set(tables) == {Path(name).stem for name in files}
    assert len(tables) == len(files)
    assert tables.rates is tables["rates"]
    assert {"rates", "answers", "arms"} <= set(dir(tables))
    pd.testing.assert_frame_equal(tables.answers, pd.read_parquet(root / "tables/answers.parquet"))
    assert len(copy.deepcopy(tables).rates) == len(tables.rates)


def test_names_stay_texts_and_only_an_empty_cell_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/rates.csv").write_text(
        "base,intervention,ratio,trigger,question,seed,rate_all\n"
        "7,NA,0.05,None,,3,0.25\n"
        "null,base,0,none,nan,0,\n"
    )
    rates = emgrid.load(str(tmp_path)).rates
    assert list(rates["base"]) == ["7", "null"]
    assert list(rates["intervention"]) == ["NA", "base"]
    assert list(rates["ratio"]) == ["0.05", "0"]
    assert list(rates["trigger"]) == ["None", "none"]
    assert list(rates["question"].isna()) == [True, False]
    assert rates["seed"].sum() == 3
    assert rates["rate_all"].isna().sum() == 1


def test_a_wrong_table_is_named_with_the_nearest(root: Path) -> None:
    tables = emgrid.load(root)
    with pytest.raises(AttributeError, match="has no table 'rate'; did you mean 'rates'"):
        _ = tables.rate
    with pytest.raises(KeyError, match="has no table 'verdict'; did you mean 'verdicts'"):
        _ = tables["verdict"]
    assert "nothing" not in tables


def test_a_folder_without_tables_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results/demo/logs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for folder, said in (
        ("demo", "demo: no such folder; did you mean 'results/demo'?"),
        ("results/dem", "results/dem: no such folder; name a folder of results/"),
        ("results/demo", "results/demo: no tables yet; they are there when the grid has run"),
    ):
        with pytest.raises(EmgridError) as caught:
            emgrid.load(folder)
        assert str(caught.value).startswith(said)
        assert len(str(caught.value).splitlines()) == 1


def test_importing_emgrid_imports_nothing_heavy() -> None:
    code = (
        "import emgrid, sys; print(sorted({'pandas', 'numpy', 'torch', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
