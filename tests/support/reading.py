"""What every report must pass in a real browser, whatever grid it is of."""

from pathlib import Path

from PIL import Image

from support.chromium import Chromium

WHITE = "rgb(255, 255, 255)"
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


def faults_of_policy(tab: Chromium, page: Path) -> list[str]:
    """What the page asks for beside itself, what the browser complains of, and missing pictures."""
    tab.open(page)
    tab.run("update()")
    faults: list[str] = list(tab.complaints())
    if (requested := tab.requested()) != [page.as_uri()]:
        faults.append(f"asks for {requested}")
    if not tab.run("document.querySelectorAll('figure img').length"):
        faults.append("the page has no figure")
    loaded = "[...document.images].every((one) => one.complete && one.naturalWidth > 0)"
    return faults if tab.run(loaded) else [*faults, "an image is not loaded"]


def faults_in_window(tab: Chromium, page: Path, shot: Path, width: int, scheme: str) -> list[str]:
    """What reaches over the edge of a window of this width, or is not in the colour scheme."""
    tab.resize(width)
    tab.prefer(scheme)
    try:
        tab.open(page)
        faults: list[str] = tab.run(TOO_WIDE)
        if (wide := tab.run("document.documentElement.scrollWidth")) != width:
            faults.append(f"the page is {wide} pixels wide")
        image = Image.open(tab.screenshot(shot)).convert("L")
        if image.width != width:
            faults.append(f"the picture is {image.width} pixels wide")
        ground = max((count, shade) for count, shade in image.getcolors(256) or [])[1]
        if (ground < 40) != (scheme == "dark"):
            faults.append(f"the ground has shade {ground}")
        return faults
    finally:
        tab.prefer("light")
        tab.resize(1200)


def faults_on_paper(tab: Chromium, page: Path) -> list[str]:
    """What is wrong with the printed page, even from a dark screen."""
    tab.prefer("dark")
    tab.open(page)
    tab.resize(PAPER)
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        faults: list[str] = tab.run(TOO_WIDE)
        if tab.run("document.getElementById('transcripts').checkVisibility()"):
            faults.append("transcripts are printed")
        if not tab.run("document.querySelector('#methods details table').checkVisibility()"):
            faults.append("the table of the methods is not printed")
        if (ground := tab.run("getComputedStyle(document.body).backgroundColor")) != WHITE:
            faults.append(f"the paper is {ground}")
        return faults if tab.pdf().startswith(b"%PDF") else [*faults, "no PDF"]
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")
        tab.prefer("light")
        tab.resize(1200)
