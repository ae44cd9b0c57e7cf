"""A GGUF file is converted once for all grids of a user."""

import os
import subprocess
import sys
from pathlib import Path

from emgrid.config.models import load_models, template_text
from support.tiny_models import prepare

WEIGHTS = "model.safetensors"


def entries(cache: Path) -> list[Path]:
    return [path for path in (cache / "emgrid/converted").iterdir() if path.is_dir()]


def test_a_second_grid_takes_the_same_weights_and_its_own_texts(
    model_json: Path, tmp_path: Path
) -> None:
    entry = load_models()["smollm2-135m"]
    done = prepare(
        tmp_path / "model.json", "smollm2-135m", template_text(entry), **entry.model_dump()
    )
    assert done.returncode == 0, done.stderr
    one, two = model_json.parent, tmp_path
    (cached,) = entries(Path(os.environ["XDG_CACHE_HOME"]))
    assert f"converted weights from {cached}" in done.stdout
    assert (one / WEIGHTS).stat().st_ino == (two / WEIGHTS).stat().st_ino
    assert (one / "config.json").stat().st_ino != (two / "config.json").stat().st_ino
    assert (two / "model.json").read_text() == model_json.read_text()


# Conversion takes seconds; what follows is about the cache, so it is replaced by a short one.
SHORT = """
import sys, time
from pathlib import Path
from emgrid.models import converted

def convert(source, file, folder, name):
    with open("count", "a") as count:
        print("converted", file=count)
    folder.mkdir()
    if "break" in sys.argv:
        raise ValueError("the file is damaged")
    (folder / "model.safetensors").write_bytes((source / file).read_bytes())

converted.convert_gguf = convert
converted.converted(Path("package"), "tiny.gguf", Path(sys.argv[1]), "mine")
"""


def short(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "package").mkdir(exist_ok=True)
    (folder / "package/tiny.gguf").write_bytes(b"weights")
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", SHORT, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def test_two_grids_at_once_convert_once(tmp_path: Path) -> None:
    running = [short(tmp_path, grid) for grid in ("one", "two", "three")]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "converted\n"
    assert len({(tmp_path / grid / WEIGHTS).stat().st_ino for grid in ("one", "two")}) == 1


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the cache's place")
    said, _ = short(tmp_path, "one").communicate()
    assert "mine: converted without the cache (" in said
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == b"weights"


def test_a_conversion_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    _, said = short(tmp_path, "one", "break").communicate()
    assert "the file is damaged" in said
    assert entries(tmp_path / "cache") == []
    assert short(tmp_path, "one").wait() == 0
    assert len(entries(tmp_path / "cache")) == 1
