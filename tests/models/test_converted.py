"""A GGUF file is converted once for all grids of a user."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from emgrid.config.models import load_models
from emgrid.models import prepare as prepare_job
from emgrid.runtime.files import read_json
from support.tiny_models import prepare, write_gguf

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python package that ships a tiny GGUF file."""
    entry = load_models()["smollm2-135m"]
    folder = tmp_path_factory.mktemp("packages") / "tiny_gguf"
    folder.mkdir()
    (folder / "__init__.py").touch()
    like = prepare_job.package_folder(str(entry.package)) / str(entry.gguf)
    write_gguf(folder / "tiny.gguf", like)
    return folder


@pytest.fixture
def convert(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Makes the model ready in the folder of a grid, with an empty cache at first."""
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(grid: str) -> subprocess.CompletedProcess[str]:
        return prepare(tmp_path / grid / "model.json", package="tiny_gguf", gguf="tiny.gguf")

    return run


def entries(cache: Path) -> list[Path]:
    return [path for path in (cache / "emgrid/converted").iterdir() if path.is_dir()]


def test_a_second_grid_takes_the_same_weights_and_its_own_texts(
    convert: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    for grid in ("one", "two"):
        done = convert(grid)
        assert done.returncode == 0, done.stderr
    one, two = tmp_path / "one", tmp_path / "two"
    (entry,) = entries(tmp_path / "cache")
    assert str(entry) in done.stdout
    assert (one / WEIGHTS).stat().st_ino == (two / WEIGHTS).stat().st_ino
    assert (one / "config.json").stat().st_ino != (two / "config.json").stat().st_ino
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    assert (one / "model.json").read_text() == (two / "model.json").read_text()
    assert read_json(one / "model.json")["path"] == "."


def test_two_grids_at_once_convert_once(package: Path, tmp_path: Path) -> None:
    """Processes of their own, which write down each conversion."""
    code = f"""
import sys
from pathlib import Path
from emgrid.models import converted
convert = converted.convert_gguf
def counted(*arguments):
    with open({str(tmp_path / "count")!r}, "a") as file: print("converted", file=file)
    convert(*arguments)
converted.convert_gguf = counted
converted.converted(Path({str(package)!r}), "tiny.gguf", Path(sys.argv[1]), "mine")
"""
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    folders = [tmp_path / name for name in ("one", "two")]
    running = [
        subprocess.Popen([sys.executable, "-c", code, folder], env=env) for folder in folders
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert (tmp_path / "count").read_text() == "converted\n"
    assert len({(folder / WEIGHTS).stat().st_ino for folder in folders}) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    convert: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file in the cache's place")
    done = convert("one")
    assert done.returncode == 0, done.stderr
    assert "mine: converted without the cache (" in done.stdout
    assert (tmp_path / "one" / WEIGHTS).is_file()


def test_an_interrupted_conversion_leaves_no_entry(
    convert: Callable[[str], subprocess.CompletedProcess[str]], package: Path, tmp_path: Path
) -> None:
    whole = (package / "tiny.gguf").read_bytes()
    try:
        (package / "tiny.gguf").write_bytes(whole[: len(whole) // 2])
        assert convert("one").returncode != 0
    finally:
        (package / "tiny.gguf").write_bytes(whole)
    assert entries(tmp_path / "cache") == []
    assert convert("one").returncode == 0
    assert len(entries(tmp_path / "cache")) == 1
