"""The report of a whole grid in a real browser."""

from pathlib import Path

import pytest
from support.chromium import Chromium
from support.reading import faults_in_window, faults_of_policy, faults_on_paper
from support.run import GridRun


@pytest.fixture
def whole_grid(finished: GridRun) -> Path:
    """The report of a whole small grid."""
    return finished.root / "report.html"


def test_the_report_of_a_whole_grid_obeys_its_policy(tab: Chromium, whole_grid: Path) -> None:
    assert faults_of_policy(tab, whole_grid) == []


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_a_whole_grid_fits_its_window(
    tab: Chromium, whole_grid: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    assert faults_in_window(tab, whole_grid, tmp_path / "page.png", width, scheme) == []


def test_the_report_of_a_whole_grid_prints(tab: Chromium, whole_grid: Path) -> None:
    assert faults_on_paper(tab, whole_grid) == []
