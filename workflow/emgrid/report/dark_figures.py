"""Figures that follow the page's colour scheme.

matplotlib writes its colours into each element of an SVG file. For the page, a style sheet is added
that replaces the greys, from white to black, if the scheme is dark: browsers apply the scheme of a
page to the pictures in it. The files of figures/ stay as they are, black on white for papers.
"""

import re

GROUND, INK = 0x16, 0xEC  # what white and black become: the page's own dark colours, in style.css
GREY = re.compile(r"(fill|stroke): #((?:[0-9a-f]{2}){3})\b")
DRAWN = re.compile(r"<svg\b[^>]*>")
# Elements whose id begins like this lie on a colour that is the same in both schemes.
FIXED = "fixed-"


def dark_grey(shade: int) -> str:
    """The dark scheme's grey for one of the light scheme, both from 0 (black) to 255 (white)."""
    dark = f"{round(INK + (GROUND - INK) * shade / 255):02x}"
    return f"#{dark * 3}"


def follow_scheme(svg: str) -> str:
    """An SVG picture of matplotlib that is drawn on dark ground if the page is dark."""
    greys = {
        (name, colour)
        for name, colour in GREY.findall(svg)
        if colour[:2] == colour[2:4] == colour[4:]
    }
    rules = [
        # Text is black because it has no colour.
        f"svg {{ fill: {dark_grey(0)} }}",
        f'[id^="{FIXED}"] {{ fill: #000000 }}',
        *(
            f'[style*="{name}: #{colour}"]:not([id^="{FIXED}"] *)'
            f" {{ {name}: {dark_grey(int(colour[:2], 16))} !important }}"
            for name, colour in sorted(greys)
        ),
    ]
    style = f"<style>@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}</style>"
    return DRAWN.sub(lambda opening: opening.group() + style, svg, count=1)
