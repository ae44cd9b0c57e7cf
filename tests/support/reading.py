"""What every report must pass in a real browser, whatever grid it is of."""

from pathlib import Path

from PIL import Image

from support.chromium import Chromium

PAPER = 673  # CSS pixels between the margins of A4, which is narrower there than US Letter
# Elements that reach over the right edge, without those that scroll inside something.
TOO_WIDE = """
[...document.querySelectorAll("main table, main figure, main p, main details")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .filter((one) => {
    const around = one.closest(".scroll");
    return !around || getComputedStyle(around).overflowX === "visible";
  })
  .map((one) => `${one.tagName}: ${one.textContent.trim().slice(0, 60)}`)
"""


def obeys_its_policy(tab: Chromium, page: Path) -> None:
    """The page alone is asked for, and the browser has nothing to complain of."""
    tab.open(page)
    tab.run("update()")
    assert tab.requested() == [page.as_uri()]
    assert tab.complaints() == []
    assert tab.run("document.querySelectorAll('figure img').length") > 0
    assert tab.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def fits(tab: Chromium, page: Path, shot: Path, width: int, scheme: str) -> None:
    """In a window of this width, light or dark, nothing lies beyond its edge."""
    tab.resize(width)
    tab.prefer(scheme)
    try:
        tab.open(page)
        assert tab.run("document.documentElement.scrollWidth") == width
        assert tab.run(TOO_WIDE) == []
        image = Image.open(tab.screenshot(shot)).convert("L")
        assert image.width == width
        ground = max((count, shade) for count, shade in image.getcolors(256) or [])[1]
        assert (ground < 40) == (scheme == "dark")
    finally:
        tab.prefer("light")
        tab.resize(1200)


def prints(tab: Chromium, page: Path) -> None:
    """On paper no table reaches over the margin, even from a dark screen."""
    tab.prefer("dark")
    tab.open(page)
    tab.resize(PAPER)
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert tab.run("document.getElementById('transcripts').checkVisibility()") is False
        assert tab.run("document.querySelector('#methods details table').checkVisibility()")
        assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.run(TOO_WIDE) == []
        assert tab.pdf().startswith(b"%PDF")
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")
        tab.prefer("light")
        tab.resize(1200)
