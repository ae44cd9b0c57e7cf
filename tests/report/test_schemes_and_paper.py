"""Figures follow the colour scheme; the matrix of verdicts is whole on paper and on a phone."""

import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.report import figure_spec
from emgrid.report.dark_figures import follow_scheme
from emgrid.report.figures.__main__ import draw
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import save, set_style
from PIL import Image
from support.chromium import Chromium
from support.pages import TRIGGERS, answer_table, config, spec_of, write_page, write_tables

RATIOS = [0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]


def many_arms() -> dict[str, Any]:
    made = config()
    made["interventions"]["dilution"] = {"ratio": RATIOS}
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of many arms with a map of their rates."""
    root = tmp_path_factory.mktemp("page")
    spec = spec_of(many_arms(), figures=["heatmap"])
    write_tables(root, spec, answer_table(spec))
    set_style()
    drawn = FigureSpec.model_validate_json(
        figure_spec(Grid(load_experiment(many_arms(), "grid.yaml")))
    )
    list(save(draw("heatmap", root, drawn), "heatmap", root / "figures"))
    return write_page(root, spec)


def picture(tab: Chromium, folder: Path) -> Image.Image:
    """The first figure as it is seen, without its frame."""
    script = "(() => { const at = document.querySelector('figure img').getBoundingClientRect();"
    script += " return [at.left, at.top + scrollY, at.right, at.bottom + scrollY]; })()"
    left, top, right, bottom = map(int, tab.run(script))
    shot = Image.open(tab.screenshot(folder / "page.png", whole=True)).convert("RGB")
    return shot.crop((left + 12, top + 12, right - 12, bottom - 12))


def shades(image: Image.Image) -> dict[tuple[int, ...], int]:
    """The colours of a picture by their number of pixels."""
    return {colour: count for count, colour in image.getcolors(1 << 24) or []}


def test_a_figure_is_dark_on_a_dark_page_and_its_map_keeps_its_colours(
    tab: Chromium, page: Path, tmp_path: Path
) -> None:
    seen = {}
    try:
        for scheme in ("light", "dark"):
            tab.prefer(scheme)
            tab.open(page)
            seen[scheme] = picture(tab, tmp_path)
        tab.call(
            "Emulation.setEmulatedMedia",
            media="print",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        seen["paper"] = picture(tab, tmp_path)
    finally:
        tab.call("Emulation.setEmulatedMedia", media="", features=[])
    light, dark, paper = (shades(seen[name]) for name in ("light", "dark", "paper"))
    assert max(light, key=lambda colour: light[colour]) == (255, 255, 255)
    assert seen["paper"].getpixel((0, 0)) == (255, 255, 255)
    assert (0, 0, 0) in paper
    assert seen["dark"].getpixel((0, 0)) == (0x16, 0x16, 0x16)
    assert (0xEC, 0xEC, 0xEC) in dark
    assert (255, 255, 255) not in {colour for colour in dark if dark[colour] > 2000}
    colours = {
        colour for colour in light if light[colour] > 2000 and max(colour) > min(colour) + 20
    }
    assert len(colours) > 3
    assert all(dark[colour] > 0.9 * light[colour] for colour in colours)


def test_the_files_of_the_figures_stay_black_on_white(page: Path) -> None:
    text = (page.parent / "figures/heatmap.svg").read_text()
    assert "prefers-color-scheme" not in text
    assert follow_scheme(text).count("prefers-color-scheme") == 1


def filled(pdf: bytes, colour: str) -> int:
    """The number of pages of a PDF file on which something is filled with a colour."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.S)
    texts = []
    for stream in streams:
        try:
            texts.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    return sum(bool(re.search(colour, text)) for text in texts)


def test_the_matrix_is_printed_on_one_page(tab: Chromium, page: Path) -> None:
    tab.open(page)
    # A ground that nothing else on the page has, and a start in the middle of a page of paper.
    style = "(() => { const style = new CSSStyleSheet(); style.replaceSync('.matrix td.verdict"
    style += " { background: rgb(51, 102, 153) !important } .headline { padding-bottom: 8cm } %s');"
    style += " document.adoptedStyleSheets = [style]; })()"
    tab.run(style % "")
    marked = r"(?<!\d)\.2 \.4 \.6 rg"
    assert filled(tab.pdf(), marked) == 1
    tab.run(style % ".whole { break-inside: auto !important }")
    assert filled(tab.pdf(), marked) == 2


def test_on_a_phone_each_verdict_is_beside_its_trigger(tab: Chromium, page: Path) -> None:
    try:
        tab.resize(400)
        tab.open(page)
        for table in ("table.matrix", "#rates-table table.stacked"):
            assert (
                tab.run(f"document.querySelector('{table}').getBoundingClientRect().right") <= 400
            )
            cells = f"[...document.querySelectorAll('{table} tbody tr:first-child td')]"
            label = "getComputedStyle(cell, '::before').content"
            labels = tab.run(f"{cells}.map((cell) => {label})")
            assert len(labels) == len(TRIGGERS)
            assert all(len(text) > 4 for text in labels)
            # One below the other, so that none is out of sight.
            tops = tab.run(f"{cells}.map((cell) => cell.getBoundingClientRect().top)")
            assert tops == sorted(set(tops))
        heads = tab.run(
            "[...document.querySelectorAll('.stacked th[scope=row]')].filter((head) =>"
            " head.checkVisibility()).map((head) => head.getBoundingClientRect().height)"
        )
        assert heads
        assert max(heads) < 80
    finally:
        tab.resize(1200)
