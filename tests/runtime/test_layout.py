"""Paths of a grid are spelled in one module."""

import re
from pathlib import Path

import pytest
from emgrid import ROOT

PACKAGE = ROOT / "workflow/emgrid"
SPELLED = re.compile(
    r"""["'/{](?:
        rows/(?:answers|likelihood|generated|adapters|judgements|served)
        | stages/stage= | trigger=\{ | assets/(?:models|sources|datasets|imports)/[{*]
        | provenance\.json["'] | jobs/\w+/ | specs/\w+\. | logs/ | benchmarks/[{*\w]+\.tsv
        | tables/\w+\.
    )""",
    re.VERBOSE,
)
FILES = [
    path
    for pattern in ("workflow/emgrid/**/*.py", "workflow/rules/*.smk")
    for path in sorted(ROOT.glob(pattern))
    if path != PACKAGE / "runtime/layout.py"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_spells_a_path_below_results(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if SPELLED.search(line.partition("#")[0])] == []


def test_the_search_finds_paths() -> None:
    text = (PACKAGE / "runtime/layout.py").read_text()
    assert len(SPELLED.findall(text)) >= 8
