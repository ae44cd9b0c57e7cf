"""The report in a real browser, with hostile model text."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import GridRun, run_module
from emgrid.grid import Grid
from emgrid.load import load_config
from PIL import Image

HOSTILE = (
    '<script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
    "\"'></div></details><h1>injected</h1>{{ 7 * 7 }}"
)


def browser() -> str:
    """Debian's chromium; where it is missing the test is skipped, in CI it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        message = "chromium is not installed (apt-get install chromium): browser tests did not run"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def browse(page: Path, folder: Path, *options: str) -> str:
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def hostile_page(finished: GridRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished grid's report, with every shown answer replaced by markup and script."""
    root = tmp_path_factory.mktemp("hostile")
    for part in ("tables", "figures"):
        shutil.copytree(finished.root / part, root / part)
    path = root / "tables/answers.parquet"
    pd.read_parquet(path).assign(answer=HOSTILE, prompt=HOSTILE).to_parquet(path)
    spec = Grid(load_config(finished.config, "grid.yaml")).report_spec([])
    done = run_module("report.page", "--spec", spec, "--root", root)
    assert done.returncode == 0, done.stderr
    return root / "report.html"


def test_the_report_is_one_file_without_foreign_parts(finished: GridRun) -> None:
    page = (finished.root / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/svg+xml;base64,") == 5
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_the_report_answers_its_question_for_every_intervention(finished: GridRun) -> None:
    page = (finished.root / "report.html").read_text()
    for label in ("benign only", "undiluted", "dilution 50 %", "sequential-8", "inoculation"):
        assert f"<strong>{label}</strong>" in page
    assert "Comes back under" in page or "No trigger is shown to bring" in page


def test_figures_come_in_three_formats(finished: GridRun) -> None:
    for name in ("rates", "heatmap", "likelihood", "judges"):
        assert Image.open(finished.root / f"figures/{name}.png").width > 1000
        assert (finished.root / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (finished.root / f"figures/{name}.svg").read_text()


def test_hostile_text_is_shown_as_text(hostile_page: Path, tmp_path: Path) -> None:
    document = browse(hostile_page, tmp_path, "--dump-dom")
    assert "<title>Grid small – emgrid</title>" in document
    assert "<h1>injected</h1>" not in document
    assert "&lt;h1&gt;injected&lt;/h1&gt;{{ 7 * 7 }}" in document


@pytest.mark.parametrize("width", [400, 1600])
def test_the_report_shows_its_figures_in_a_browser(
    finished: GridRun, tmp_path: Path, width: int
) -> None:
    shot = tmp_path / "page.png"
    browse(
        finished.root / "report.html", tmp_path,
        f"--screenshot={shot}", f"--window-size={width},2600", "--force-color-profile=srgb",
    )  # fmt: skip
    image = Image.open(shot).convert("RGB")
    assert image.width == width
    colours = {colour for _, colour in image.getcolors(1 << 24) or []}
    # The triggers' colours of the first figure can be seen on the page.
    assert {(213, 94, 0), (0, 114, 178)} <= colours


def test_example_answers_are_not_picked_by_score(finished: GridRun) -> None:
    spec = json.loads(Grid(load_config(finished.config, "grid.yaml")).report_spec([]))
    page = (finished.root / "report.html").read_text()
    assert page.count('<div class="answer">') == 6 * 3 * spec["examples"]
